"""nightly_<pipeline>: score each day before it begins to matter, in one Spark application."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, CronTriggerTimetable, TaskGroup
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from dags import _forms, _tasks
from dags._alerts import name_the_delay
from dags._pipelines import Pipeline, broken_pipelines, pipelines

DOC = """
### Nightly scores of `{name}`

{description}

`night` runs every step in one Spark application; the tasks after it are the steps, and each says
what came of its own:

`ingest → features → check features → score → check scores → publish → report`

**A step is red?** Its log says why, and which check, column or day. After mending the cause:
clear *that step and what is downstream* to repeat just these, each in a Spark application of its
own, or clear `night` and everything after it to repeat the night; what is up to date is left
alone. What was published before stays published in the meantime.

**A day again, or many days?** Not here: trigger `backfill_{name}`, or run
`infra/airflow.sh backfill {name} --from … --to …`. Every run is about its logical date
(`ds`), whatever its run id says. Scores are due {deadline_hours} hours after the cut-off.
"""

BROKEN = """
### The definition of `{name}` cannot be loaded

    {error}

Until `feature_store/definitions/{name}.py` is mended nothing of this pipeline can run, and
`train_{name}` and `backfill_{name}` are gone; other pipelines are not touched. This DAG stands in
for its nights, and fails, so that somebody hears of it.

`nightscore pipelines` shows the same error, or only Airflow's environment has it: there a source
finds neither pandas nor pyspark, so it imports them inside its methods. What the definition reads
from the environment (`NIGHTSCORE_CLICKS_ROWS`, `NIGHTSCORE_SHOP_SCALE`) must be right for the DAG
processor too.

After mending it, trigger `backfill_{name}` for the nights that were missed.
"""


def schedule(pipeline: Pipeline) -> CronTriggerTimetable:
    """Return a daily schedule whose logical date is the midnight that begins the day to score."""
    wait = pipeline.start_after_midnight
    minutes = int(wait.total_seconds()) // 60
    cron = f"{minutes % 60} {minutes // 60 % 24} * * *"
    return CronTriggerTimetable(cron, timezone="UTC", interval=wait)


def nightly(pipeline: Pipeline) -> DAG:
    """Return the nightly DAG of a pipeline."""
    with DAG(
        dag_id=f"nightly_{pipeline.name}",
        description=pipeline.description,
        doc_md=DOC.format(
            name=pipeline.name,
            description=pipeline.description,
            deadline_hours=pipeline.deadline_hours,
        ),
        schedule=schedule(pipeline),
        start_date=pipeline.start_date,
        end_date=pipeline.end_date,
        catchup=False,
        max_active_runs=1,
        deadline=DeadlineAlert(
            # Not DAGRUN_QUEUED_AT: with it no run can be cleared (apache/airflow #70368).
            reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
            interval=pipeline.deadline,
            callback=AsyncCallback(name_the_delay, {"pipeline": pipeline.name}),
        ),
        default_args=_tasks.default_args(pipeline),
        tags=["nightscore", "nightly", pipeline.name],
        params={
            "model": _forms.model_version("Which model scores the day."),
            "force": _forms.flag("Do it again although it is published."),
            "reason": _forms.text("nightly", "Why, for the ledger."),
        },
    ) as dag:
        night = _tasks.night(pipeline)
        with TaskGroup("prepare", tooltip="From the source to the day's features"):
            ingest = _tasks.step(pipeline, "ingest")
            features = _tasks.step(pipeline, "features")
        with TaskGroup("score", tooltip="Nothing unchecked is scored, or published"):
            check_features = _tasks.step(pipeline, "check features")
            score = _tasks.step(pipeline, "score")
            check_scores = _tasks.step(pipeline, "check scores")
            publish = _tasks.step(pipeline, "publish", [Asset(pipeline.asset("scores"))])
        with TaskGroup("tell", tooltip="For people, and for whoever waits for the scores"):
            report = _tasks.step(pipeline, "report")
            ask = _tasks.ask_for_training(pipeline)

        night >> ingest >> features >> check_features >> score >> check_scores >> publish
        publish >> [report, ask]
    return dag


def broken_nightly(pipeline: Pipeline, error: str) -> DAG:
    """Return the DAG that stands in, at a night's usual time, for one that cannot be made."""
    with DAG(
        dag_id=f"nightly_{pipeline.name}",
        description=pipeline.description,
        doc_md=BROKEN.format(name=pipeline.name, error=error.replace("\n", "\n    ")),
        schedule=schedule(pipeline),
        start_date=pipeline.start_date,
        catchup=False,
        max_active_runs=1,
        default_args=_tasks.default_args(pipeline),
        tags=["nightscore", "nightly", "broken", pipeline.name],
    ) as dag:
        _tasks.broken_definition(error)
    return dag


for each in pipelines():
    nightly(each)
for each, error in broken_pipelines():
    broken_nightly(each, error)
