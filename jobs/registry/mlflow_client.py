"""MLflow on SQLite under the home, or wherever MLFLOW_TRACKING_URI says; quiet, and on no network.

Importing MLflow and opening its database takes seconds: both happen at the first call.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import uuid
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.errors import NightscoreError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from feature_store.home import Home

log = logging.getLogger(__name__)

MOST_AT_ONCE = 1000
"""Metrics that the tracker takes in one call."""
EXISTS = "RESOURCE_ALREADY_EXISTS"
NOT_THERE = "RESOURCE_DOES_NOT_EXIST"


def tracking_uri(home: Home) -> str:
    """Return where MLflow keeps its records: MLFLOW_TRACKING_URI, else SQLite under the home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.local_path('mlflow.db')}"


def database(home: Home) -> Path | None:
    """Return the file of the SQLite database, or None where the records are kept elsewhere."""
    uri = tracking_uri(home)
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def client(home: Home) -> MlflowClient:
    """Return the client of a home, its database made if there is none."""
    path = database(home)
    if path is not None:
        _ensure_database(path)
    return _connect(tracking_uri(home))


def require_writable(home: Home, experiment: str, *, patience: float = 10.0) -> None:
    """Find out now whether a run can be recorded later; the experiment is there afterwards.

    Args:
        home: where the database lies by default.
        experiment: what runs are logged to.
        patience: seconds to wait for another process that writes.

    Raises:
        NightscoreError: the records cannot be written; names where they are kept.
    """
    path = database(home)
    mlflow = client(home)
    try:
        if path is not None:
            with closing(sqlite3.connect(path, timeout=patience)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        _experiment_id(mlflow, experiment)
    except sqlite3.Error as error:
        raise NightscoreError(
            f"MLflow's database {path} cannot be written: {error}. A trained model is registered "
            "there: mend its owner and mode, or end whoever holds it, and run this again"
        ) from error


def log_run(
    mlflow: MlflowClient,
    experiment: str,
    metrics: Mapping[str, float],
    params: Mapping[str, Any],
    epochs: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Record a training run in the tracker and return its id.

    Args:
        mlflow: the tracker.
        experiment: what it is logged to.
        metrics: what the model reached.
        params: how it was trained.
        epochs: numbers by name, of each epoch: the curves `epoch_<name>`.
    """
    from mlflow.entities import Metric, Param

    now = int(datetime.now(UTC).timestamp() * 1000)
    run_id: str = mlflow.create_run(_experiment_id(mlflow, experiment)).info.run_id
    curves = [
        Metric(f"epoch_{name}", float(value), now, number)
        for number, told in enumerate(epochs, 1)
        for name, value in told.items()
        if value is not None and name != "epoch"
    ]
    told = [*(Metric(key, float(value), now, 0) for key, value in metrics.items()), *curves]
    for start in range(MOST_AT_ONCE, len(told), MOST_AT_ONCE):
        mlflow.log_batch(run_id, metrics=told[start : start + MOST_AT_ONCE])
    mlflow.log_batch(
        run_id,
        metrics=told[:MOST_AT_ONCE],
        params=[Param(key, str(value)) for key, value in params.items()],
    )
    mlflow.set_terminated(run_id)
    return run_id


@cache
def _connect(uri: str) -> MlflowClient:
    # MLflow would report its use over the network, and tell of every migration.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # By default MLflow asks a server that does not answer seven times, for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with warnings.catch_warnings():  # of what MLflow asks of SQLAlchemy
        warnings.simplefilter("ignore")
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _ensure_database(path: Path) -> None:
    """Make MLflow's database if there is none, whole or not at all.

    MLflow's migrations take seconds; a kill amid them, or two processes at once, would leave a
    database that neither can use. So it is made beside its place, and linked there when done.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        _connect(f"sqlite:///{made}")
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)
        _connect.cache_clear()


def _experiment_id(mlflow: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = mlflow.get_experiment_by_name(name)
    if found is None:
        try:
            return str(mlflow.create_experiment(name))
        except MlflowException as error:
            found = mlflow.get_experiment_by_name(name)
            if error.error_code != EXISTS or found is None:
                raise
    if found.lifecycle_stage == "deleted":
        # What was deleted there by hand, or by a clean-up, is not lost: MLflow only hides it.
        mlflow.restore_experiment(found.experiment_id)
        log.warning("experiment=%s was deleted in MLflow and is restored, to log to", name)
    return str(found.experiment_id)
