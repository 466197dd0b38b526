"""Job name and arguments -> task. The only place that knows operators."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.configuration import conf
from airflow.sdk import Asset, BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from dags import _fit_place
from dags._alerts import name_the_failure
from dags._failures import failure_text, raise_failure
from dags._fit_here import Fit
from dags._runner import Application, passed_on

if TYPE_CHECKING:
    from airflow.sdk import Context

    from dags._pipelines import Pipeline

POOL = "spark"
STEPS = ("ingest", "features", "check features", "score", "check scores", "publish", "report")
PIPELINE = "--pipeline={}"


def default_args(pipeline: Pipeline | None = None) -> dict[str, Any]:
    """Return what all tasks of a DAG share. Every step is safe to repeat, so every one is."""
    return {
        "owner": pipeline.owner if pipeline else "nightscore",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=30),
        "on_failure_callback": name_the_failure,
    }


class NightLink(BaseOperatorLink):
    """From a task of a night to the night's page."""

    name = "Report"
    xcom_key = "nightscore_report"
    anchor = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the page's address; Airflow keeps it when the task ends."""
        # Whole, with its host: the UI shows no other. By default Airflow serves it itself.
        own = f"{conf.get('api', 'base_url').rstrip('/')}/nightscore/reports"
        base = os.environ.get("NIGHTSCORE_REPORTS_URL") or own
        return f"{base}/{operator.pipeline}/{operator.ds}.html{self.anchor}"


class ScoresLink(NightLink):
    """From a task of a night to what the page says of its scores."""

    name = "Scores"
    xcom_key = "nightscore_scores"
    anchor = "#scores"


class Job(BaseOperator):
    """One nightscore command, run by spark-submit where the connection says.

    Each template in `arguments` is one argument, whatever a form put into it; one that comes to
    nothing is none. `repeated` gives an option once for each word of its template. Nothing is
    split into arguments, and nothing goes through a shell.
    """

    template_fields: Sequence[str] = ("arguments", "repeated")
    ui_color = "#dbe7f5"

    def __init__(
        self,
        *,
        arguments: Sequence[str],
        repeated: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool=POOL, **kwargs)
        self.arguments = arguments
        self.repeated = dict(repeated or {})
        self._application: Application | Fit | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the command; its receipt is what the task returns."""
        return _checked(self.submit())

    def submit(self, *more: str) -> dict[str, Any]:
        """Run an application, perhaps with more arguments, to its end and return its receipt."""
        name = f"nightscore {self.dag_id} {self.task_id}"
        self._application = Application(name, [*self.command(), *more])
        return self._application.run()

    def command(self) -> list[str]:
        """Return the command and its arguments, once the templates are rendered."""
        given = [argument for argument in self.arguments if argument]
        return given + [
            f"{option}={word}" for option, words in self.repeated.items() for word in words.split()
        ]

    def on_kill(self) -> None:
        """Stop the application with the task."""
        if self._application is not None:
            self._application.kill()


class FitModel(Job):
    """Fits the model of a frozen training, without Spark, where its own connection says.

    On this machine the task is the fit's process. In a cluster the task only waits, in Airflow's
    triggerer: a pod may wait a day for a GPU, and holds no worker and no slot of the pool.
    """

    def __init__(self, *, pipeline: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline

    def execute(self, context: Context) -> dict[str, Any]:
        """Fit here, or have it done in the cluster; the receipt is what the task returns."""
        place = _fit_place.from_connection()
        if isinstance(place, _fit_place.Cluster):
            self._defer_to(place, context)
        self._application = Fit(place, self.command())
        return _checked(self._application.run())

    def take(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the cluster's fit left."""
        return _checked(event)

    def _defer_to(self, cluster: _fit_place.Cluster, context: Context) -> NoReturn:
        # Imported late: parsing a DAG needs neither.
        from dags._fit_manifest import FitRequest, manifest
        from dags._fit_trigger import FitTrigger

        request = FitRequest(
            pipeline=self.pipeline,
            dag_id=self.dag_id,
            run_id=context["run_id"],
            try_number=context["ti"].try_number,
            arguments=self.command(),
            home=_home_of_pods(),
            environment=passed_on(),
        )
        self.defer(
            trigger=FitTrigger(
                manifest=manifest(cluster, request), wait_hours=float(cluster.wait_hours)
            ),
            method_name="take",
        )


class _OfNight(Job):
    """A task of a night: it has a day, and links to the night's page."""

    template_fields: Sequence[str] = (*Job.template_fields, "ds")
    operator_extra_links = (NightLink(), ScoresLink())

    def __init__(self, *, pipeline: str, ds: str = "{{ ds }}", **kwargs: Any) -> None:
        super().__init__(arguments=_night_arguments(pipeline), **kwargs)
        self.pipeline = pipeline
        self.ds = ds

    def require_day(self) -> None:
        """Fail, and say what to do, where a run has no day: one triggered without a date."""
        if not self.ds:
            raise AirflowFailException(
                f"{self.dag_id}: this run has no logical date, so there is no day to score. "
                "Trigger it with one: airflow dags trigger --logical-date YYYY-MM-DD"
            )


class Night(_OfNight):
    """All steps of a night in one Spark application; what came of each is for its own task to say.

    So that the step that failed is the one that turns red, a failure that a repeat cannot mend is
    not this task's. One that may pass by itself (a late source) is, until retries are used up:
    repeated here, the rest of the night still shares one application.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the night; the receipt it returns is good once for each step."""
        self.require_day()
        receipt = self.submit()
        failure = receipt.get("failure")
        if failure is None:
            done = {name: {"seconds": None, "note": "done elsewhere"} for name in STEPS}
            receipt["steps"] = receipt["steps"] or done
        elif not failure["step"] or not (failure["final"] or self._is_last_try(context)):
            raise_failure(failure)
        else:
            self.log.error("%s. The task of that step says so too", failure_text(failure))
        return {"id": uuid.uuid4().hex, **receipt}

    def _is_last_try(self, context: Context) -> bool:
        ti = context["ti"]
        return ti.try_number > ti.max_tries


class Step(_OfNight):
    """One step of a night: it takes the receipt that `Night` left, or does the step itself.

    A receipt is taken once. Cleared or retried alone, the step finds none left for it and runs in
    a Spark application of its own; cleared together with `Night`, it finds a new one.
    """

    ui_color = "#e6f2e6"

    def __init__(self, *, step: str, night: str, **kwargs: Any) -> None:
        super().__init__(task_id=step.replace(" ", "_"), **kwargs)
        self.step = step
        self.night = night

    def execute(self, context: Context) -> dict[str, Any]:
        """Say what came of the step, and do it if nobody has."""
        self.require_day()
        receipt = self._take_receipt(context)
        if receipt is None:
            self.log.info("step=%s runs in a Spark application of its own", self.step)
            receipt = self.submit(f"--step={self.step}")
        failure = receipt.get("failure")
        if failure is not None and failure["step"] in ("", self.step):
            raise_failure(failure)
        done = receipt["steps"].get(self.step, {})
        self.log.info(
            "step=%s ds=%s seconds=%s %s",
            self.step, self.ds, done.get("seconds"), done.get("note", ""),
        )  # fmt: skip
        self._tell(context, receipt.get("published") or {"ds": self.ds, "note": done.get("note")})
        return done

    def _take_receipt(self, context: Context) -> dict[str, Any] | None:
        """Return the night's receipt if it tells of this step and was not taken before."""
        receipt = context["ti"].xcom_pull(task_ids=self.night)
        if not receipt:
            return None
        store = context["task_state_store"]
        is_about_me = self.step in receipt["steps"]
        is_about_me = is_about_me or receipt.get("failure", {}).get("step") == self.step
        if not is_about_me or store.get("receipt") == receipt["id"]:
            return None
        store.set("receipt", receipt["id"])
        return receipt

    def _tell(self, context: Context, extra: dict[str, Any]) -> None:
        for asset in self.outlets:
            context["outlet_events"][asset].extra = extra


class AskForTraining(BaseOperator):
    """Publishes that a new model is wanted, if the night's scores drifted.

    Only a night on its schedule asks: the drift of days scored again is of the past.
    """

    ui_color = "#fdf3d8"

    def __init__(self, *, night: str, ds: str = "{{ ds }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.night = night
        self.ds = ds

    template_fields: Sequence[str] = ("ds",)

    def execute(self, context: Context) -> None:
        """Publish the wish with its reason, or skip."""
        if context["dag_run"].run_type != "scheduled":
            raise AirflowSkipException("only a night on its schedule asks for a new model")
        receipt = context["ti"].xcom_pull(task_ids=self.night) or {}
        reason = receipt.get("training_wanted")
        if not reason:
            raise AirflowSkipException("nothing asks for a new model")
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {"ds": self.ds, "reason": reason}


class BrokenDefinition(BaseOperator):
    """Fails, at once and for good, with what is wrong with a pipeline's definition."""

    ui_color = "#f5dbdb"

    def __init__(self, *, error: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error = error

    def execute(self, context: Context) -> None:
        """Raise the error."""
        raise AirflowFailException(self.error)


def night(pipeline: Pipeline) -> Night:
    """Return the task that runs a night in one Spark application."""
    return Night(task_id="night", pipeline=pipeline.name, priority_weight=10)


def step(pipeline: Pipeline, name: str, outlets: Sequence[Asset] = ()) -> Step:
    """Return the task of one step of a night."""
    return Step(
        step=name,
        night="night",
        pipeline=pipeline.name,
        outlets=list(outlets),
        priority_weight=10,
    )


def ask_for_training(pipeline: Pipeline) -> AskForTraining:
    """Return the task that asks `train` for a new model."""
    wanted = Asset(pipeline.asset("training-wanted"))
    return AskForTraining(task_id="ask_for_training", night="night", outlets=[wanted])


def broken_definition(error: str) -> BrokenDefinition:
    """Return the one task of a pipeline that cannot be run."""
    return BrokenDefinition(task_id="definition", error=error)


def job(
    task_id: str, command: str, *arguments: str, outlets: Sequence[Asset] = (), **kwargs: Any
) -> Job:
    """Return a task that runs a nightscore command; each of `arguments` is a template of one."""
    return Job(task_id=task_id, arguments=[command, *arguments], outlets=list(outlets), **kwargs)


def fit(pipeline: Pipeline, *arguments: str, **kwargs: Any) -> FitModel:
    """Return the task that fits a model; each of `arguments` is a template of one."""
    return FitModel(
        task_id="fit", pipeline=pipeline.name,
        arguments=[PIPELINE.format(pipeline.name), *arguments], **kwargs,
    )  # fmt: skip


def _checked(receipt: dict[str, Any]) -> dict[str, Any]:
    """Return a receipt that names no failure; raise what another one names."""
    if "failure" in receipt:
        raise_failure(receipt["failure"])
    return receipt


def _home_of_pods() -> str:
    home = os.environ.get("NIGHTSCORE_HOME", "")
    if not os.path.isabs(home):
        raise AirflowFailException(
            f"NIGHTSCORE_HOME={home!r}: pods mount the home where Airflow's workers see it, so it "
            "must be an absolute path here"
        )
    return home


def _night_arguments(pipeline: str) -> list[str]:
    return [
        "night",
        PIPELINE.format(pipeline),
        "--ds={{ ds }}",
        "--model={{ params.model }}",
        "--reason={{ params.reason }} (Airflow {{ run_id }})",
        "{{ '--force' if params.force else '' }}",
    ]
