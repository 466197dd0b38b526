"""How a job is started, and what came of it: spark-submit, where the connection says.

The connection `nightscore_spark` is all that differs between `local[*]`, a standalone master, YARN
and Kubernetes. Its host is the master; in its extra, beside the provider's own keys:

    conf          Spark settings, by name
    application   what to submit instead of this checkout's jobs/submit.py
    jars          Delta's jars, comma-separated, instead of those of the jobs' environment
    python        the interpreter of driver and workers instead of the jobs' environment's
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from dags._failures import read_receipt, with_failure

if TYPE_CHECKING:
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

CONNECTION = "nightscore_spark"
ROOT = Path(__file__).resolve().parents[1]

# What a driver elsewhere must know too. No credentials: they would show in spark-submit's log.
PASSED_ON = (
    "NIGHTSCORE_HOME",
    "NIGHTSCORE_USER",
    "NIGHTSCORE_CLICKS_ROWS",
    "NIGHTSCORE_SHOP_SCALE",
    "MLFLOW_TRACKING_URI",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Runner:
    """Where and with what jobs run."""

    spark_submit: str
    application: str
    jars: str
    python: str
    conf: Mapping[str, str]
    is_driver_here: bool
    """Whether the driver runs on this machine, so that it can leave a receipt here."""

    @classmethod
    def from_connection(cls) -> Runner:
        """Return what the connection says, and the jobs' environment where it says nothing.

        Raises:
            AirflowFailException: the connection asks for something that cannot work.
        """
        connection = BaseHook.get_connection(CONNECTION)
        extra = connection.extra_dejson
        jobs_env = jobs_environment()
        jars = sorted(jobs_env.glob("nightscore/jars/*.jar"))
        mode = extra.get("deploy-mode") or "client"
        if mode == "cluster" and (connection.host or "").startswith("spark://"):
            raise AirflowFailException(
                f"connection {CONNECTION}: deploy-mode=cluster: a standalone master passes no "
                "environment to a driver; use deploy-mode=client"
            )
        return cls(
            spark_submit=os.environ.get("NIGHTSCORE_SPARK_SUBMIT")
            or str(jobs_env / "bin" / "spark-submit"),
            application=extra.get("application") or str(ROOT / "jobs" / "submit.py"),
            jars=extra.get("jars") or ",".join(str(jar) for jar in jars),
            python=extra.get("python") or str(jobs_env / "bin" / "python"),
            conf=extra.get("conf") or {},
            is_driver_here=mode == "client",
        )

    def environment(self) -> dict[str, str]:
        """Return what the driver must find in its environment.

        Raises:
            AirflowFailException: a value holds a password.
        """
        return {
            **passed_on(),
            "PYSPARK_PYTHON": self.python,
            "PYSPARK_DRIVER_PYTHON": self.python,
        }


def passed_on() -> dict[str, str]:
    """Return what a job elsewhere must know of this process's environment.

    Raises:
        AirflowFailException: a value holds a password.
    """
    found = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    for name, value in found.items():
        if urlsplit(value).password:
            raise AirflowFailException(
                f"{name} holds a password, which logs would show; give it to the nodes where jobs "
                "run, and leave it out of Airflow's environment"
            )
    return found


def jobs_environment() -> Path:
    """Return the environment of the jobs on this machine."""
    return Path(os.environ.get("NIGHTSCORE_JOBS_ENV") or ROOT / ".venv")


class Application:
    """One Spark application: started once, killed if its task is."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        """Start nothing yet."""
        self._name = name
        self._arguments = arguments
        self._hook: SparkSubmitHook | None = None

    def run(self) -> dict[str, Any]:
        """Run it to its end and return its receipt, in which `failure` says why it failed, if so.

        A driver on another machine leaves no receipt: then all that is known is whether it failed.
        """
        # Imported late: the provider brings Kubernetes' client, seconds at every parse of a DAG.
        from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

        runner = Runner.from_connection()
        with TemporaryDirectory(prefix="nightscore-") as folder:
            path = Path(folder, "receipt.json")
            leave = ["--receipt", str(path)] if runner.is_driver_here else []
            self._hook = SparkSubmitHook(
                conn_id=CONNECTION,
                conf=dict(runner.conf),
                jars=runner.jars,
                name=self._name,
                application_args=[*leave, *self._arguments],
                env_vars=runner.environment(),
                spark_binary=runner.spark_submit,
            )
            try:
                self._hook.submit(runner.application)
            except AirflowException as error:
                return with_failure(read_receipt(path), str(error))
            return read_receipt(path)

    def kill(self) -> None:
        """Stop it; whatever it was writing is not committed."""
        if self._hook is not None:
            self._hook.on_kill()
