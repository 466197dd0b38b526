"""train_<pipeline>: a new model every week, and whenever drift, a gate or a person asks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable

from dags import _forms, _tasks
from dags._pipelines import Pipeline, pipelines

DOC = """
### Model training of `{name}`

`freeze` brings features up to date and freezes a training set; `fit` trains on it; `judge` looks at
the model on later days, and promotes it to champion if the gate lets it. Each can be cleared alone:
it finds what the others left. `fit` runs where the connection `nightscore_fit` says, and one that
was killed goes on from its last checkpoint. A model that the gate refuses is registered as
challenger and `judge` is red: the champion stays, and the log says what was wrong with the new one.

Runs weekly; whenever `nightscore://training-wanted/{name}` is published (by a night that finds
drift, or by a person under *Assets*); and by hand. Unless the form says otherwise it is judged on
the last `judge_days` days before the run's day (of those whose outcome is settled by then), and
trained on the `train_days` before these;
each day that the form leaves out follows from the later one that it names.
"""


SPAN = ("first", "last", "judged")


def span(pipeline: Pipeline, params: Any, logical_date: Any, events: Any) -> dict[str, str]:
    """Return the days to train and to judge on: `first`, `last` and `judged`, as YYYY-MM-DD.

    The day of the run is its logical date; a run that an asset started has none, and takes the
    day that the newest event tells. A day that the form names moves those before it along.
    """
    today = _day_of_run(pipeline, logical_date, events)
    named = {name: _midnight(params[name]) for name in SPAN if params[name]}
    judged = named.get("judged", today - timedelta(days=max(1, pipeline.label_days)))
    last = named.get("last", judged - timedelta(days=params["judge_days"]))
    earliest = last - timedelta(days=params["train_days"] - 1)
    first = named.get("first", max(earliest, pipeline.start_date))
    return {name: f"{day:%Y-%m-%d}" for name, day in zip(SPAN, (first, last, judged), strict=True)}


def training_name(run_id: str) -> str:
    """Return the name under which the tasks of a run find the training that it froze."""
    return f"airflow-{re.sub('[^A-Za-z0-9_.-]', '-', run_id)}"


def is_first_try(ti: Any, task: Any) -> bool:
    """Return whether a task runs for the first time since the run began, or since it was cleared.

    A retry goes on from what the try before it left, which a forced fit would clear.
    """
    return bool(ti.try_number == ti.max_tries - task.retries + 1)


def _day_of_run(pipeline: Pipeline, logical_date: Any, events: Any) -> datetime:
    told = [
        event.extra["ds"]
        for of_asset in (events or {}).values()
        for event in of_asset
        if event.extra.get("ds")
    ]
    if logical_date:
        day = logical_date
    elif told:
        day = _midnight(max(told))
    else:
        day = datetime.now(UTC)
    after_last = (pipeline.end_date or day) + timedelta(microseconds=1)
    return min(day, after_last)


def _midnight(day: str) -> datetime:
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)


def train(pipeline: Pipeline) -> DAG:
    """Return the training DAG of a pipeline."""
    with DAG(
        dag_id=f"train_{pipeline.name}",
        description=f"A new model for {pipeline.name}, promoted if the gate lets it",
        doc_md=DOC.format(name=pipeline.name),
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable("0 6 * * 0", timezone="UTC"),
            assets=[Asset(pipeline.asset("training-wanted"))],
        ),
        start_date=pipeline.start_date,
        catchup=False,
        max_active_runs=1,
        default_args=_tasks.default_args(pipeline),
        user_defined_macros={
            "span": partial(span, pipeline),
            "training_name": training_name,
            "is_first_try": is_first_try,
        },
        tags=["nightscore", "train", pipeline.name],
        params={
            "model": _forms.zoo_model("A model of the zoo; empty: the definition's own."),
            "train_days": _forms.whole(273, 7, 3660, "Days to learn from."),
            "judge_days": _forms.whole(28, 1, 366, "Later days to judge it on."),
            "first": _forms.day("First day to learn from, instead.", optional=True),
            "last": _forms.day("Last day to learn from, instead.", optional=True),
            "judged": _forms.day("Last day to judge it on, instead.", optional=True),
            "precision": _forms.choice(("f32", "bf16"), "Weights' precision; empty: as defined."),
            "promote": _forms.flag("Make it champion if the gate lets it.", default=True),
            "force": _forms.flag("Train again, though a version was made of the same."),
        },
    ) as dag:
        days = "span(params, logical_date | default, triggering_asset_events | default)"
        training = "--training={{ training_name(run_id) }}"
        freeze = _tasks.job(
            "freeze",
            "freeze",
            f"--pipeline={pipeline.name}",
            f"--from={{{{ {days}.first }}}}",
            f"--to={{{{ {days}.last }}}}",
            f"--eval-to={{{{ {days}.judged }}}}",
            "{{ '--model=' ~ params.model if params.model else '' }}",
            "{{ '--precision=' ~ params.precision if params.precision else '' }}",
            "--name={{ training_name(run_id) }}",
            "--json",
            priority_weight=5,
        )
        fit = _tasks.fit(
            pipeline,
            training,
            "{{ '--force' if params.force and is_first_try(ti, task) else '' }}",
            "--json",
            priority_weight=5,
        )
        judge = _tasks.job(
            "judge",
            "judge",
            f"--pipeline={pipeline.name}",
            training,
            "{{ '--promote' if params.promote else '--no-promote' }}",
            "--json",
            outlets=[Asset(pipeline.asset("models"))],
            priority_weight=5,
        )
        freeze >> fit >> judge
    return dag


for each in pipelines():
    train(each)
