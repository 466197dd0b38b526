"""backfill_<pipeline>: days scored again or for the first time, planned before they are run."""

from __future__ import annotations

from airflow.sdk import DAG, chain

from dags import _forms, _tasks
from dags._pipelines import Pipeline, pipelines

DOC = """
### Backfill of `{name}`

`plan` says for each day whether it is fresh, missing, stale (and why) or blocked, and what the
rest would cost. `backfill` carries that plan out in one Spark application and one model load for
all days. Killed or cleared, it goes on where it stopped; days that are done stay as they are.
With **dry_run** no day is computed, scored or published; the plan itself is recorded all the same.

Days that another backfill holds are waited for, and an older model does not overtake a newer
publication. The same by hand: `nightscore backfill --pipeline {name} --from … --to …`.
"""


def backfill(pipeline: Pipeline) -> DAG:
    """Return the backfill DAG of a pipeline: no schedule, a form instead."""
    with DAG(
        dag_id=f"backfill_{pipeline.name}",
        description=f"Plan, and bring up to date, a range of days of {pipeline.name}",
        doc_md=DOC.format(name=pipeline.name),
        schedule=None,
        start_date=pipeline.start_date,
        # Two at once are safe: each day is claimed by one of them.
        max_active_runs=2,
        default_args=_tasks.default_args(pipeline),
        tags=["nightscore", "backfill", pipeline.name],
        params={
            "from": _forms.day("First day."),
            "to": _forms.day("Last day, included."),
            "exclude": _forms.days("Days to leave out, one a line, YYYY-MM-DD."),
            "model": _forms.model_version("Which model scores the days."),
            "force": _forms.flag("Do days again although they are fresh."),
            "dry_run": _forms.flag("Plan only: record the plan, and do none of it."),
            "reason": _forms.text("backfill", "Why, for the plan and the ledger."),
        },
    ) as dag:
        arguments = (
            f"--pipeline={pipeline.name}",
            "--from={{ params['from'] }}",
            "--to={{ params['to'] }}",
            "--model={{ params.model }}",
            "--reason={{ params.reason }} (Airflow {{ run_id }})",
            "{{ '--force' if params.force else '' }}",
        )
        exclude = {"--exclude": "{{ params.exclude | join(' ') }}"}
        dry_run = "{{ '--dry-run' if params.dry_run else '' }}"
        chain(
            _tasks.job("plan", "plan", *arguments, repeated=exclude, priority_weight=2),
            _tasks.job(
                "backfill", "backfill", *arguments, dry_run, repeated=exclude, priority_weight=1
            ),
        )
    return dag


for each in pipelines():
    backfill(each)
