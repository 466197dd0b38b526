"""maintenance: compaction, retention and clean-up of every pipeline's tables, once a day."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from dags import _forms, _tasks
from dags._pipelines import pipelines

DOC = """
### Maintenance

For each pipeline: small files are compacted, runs that were scored and never published are
removed, and old files are deleted, except those of a version that a model or a publication pins.
Runs at noon, when nights are over; days that a night or backfill is writing are left alone.
With **dry_run** it says what it would do.
"""

with DAG(
    dag_id="maintenance",
    description="Compaction, retention that respects pinned versions, clean-up of unpublished runs",
    doc_md=DOC,
    schedule="0 12 * * *",
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=_tasks.default_args(),
    tags=["nightscore", "maintenance"],
    params={"dry_run": _forms.flag("Say what would be done, and do nothing.")},
):
    for pipeline in pipelines():
        _tasks.job(
            f"maintain_{pipeline.name}",
            "maintain",
            f"--pipeline={pipeline.name}",
            "{{ '--dry-run' if params.dry_run else '' }}",
            owner=pipeline.owner,
            priority_weight=1,
        )
