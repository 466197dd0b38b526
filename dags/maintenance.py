"""maintenance: compaction, retention and clean-up of every pipeline's tables, once a day."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from dags import _forms, _tasks
from dags._pipelines import pipelines

DOC = """
### Maintenance

For each pipeline: small files are compacted, runs that were scored and never published are
removed, and files that no table needs any more are deleted once the retention (7 days) is over:
until then an older version of a table can still be read, and no longer. Models that nothing uses
any more go too, with the training sets that only they learned from (`docs/models.md`). Runs of days
that a claim holds, as a backfill's do, are left alone. Runs at noon, when nights are over. With
**dry_run** it says what it would do.
"""

with DAG(
    dag_id="maintenance",
    description="Compaction, clean-up of unpublished runs and of files past their retention",
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
