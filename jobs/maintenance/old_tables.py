"""Tables from before a column changed its type, once everything in them was written anew.

They stay as long as the files of a version do: what read them while they counted has ended by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.tables import generations
from jobs.maintenance.removal import put_away, sweep

if TYPE_CHECKING:
    from jobs.context import Context

log = logging.getLogger(__name__)


def old_tables(context: Context, tables: Iterable[str], hours: float) -> list[str]:
    """Return the folders, by name, of which nothing counts now nor did in the last `hours`.

    None in an object store: there no folder can be moved away in one step.
    """
    if not context.home.is_local:
        return []
    days, before = context.warehouse.days, datetime.now(UTC) - timedelta(hours=hours)
    return [
        generations.folder(table, generation)
        for table in tables
        for generation in days.replaced(table, before)
    ]


def remove_old_tables(
    context: Context, tables: Iterable[str], hours: float, on_progress: Callable[[str], None]
) -> list[str]:
    """Remove those folders, and what an earlier call that was killed left of some."""
    if not context.home.is_local:
        return []
    removed = old_tables(context, tables, hours)
    home, pipeline = context.home, context.definition.name
    for name in removed:
        put_away(Path(home.table(pipeline, name)))
        log.info("removed table=%s", name)
        on_progress(f"removed table {name}: all its days were written anew")
    for folder in {Path(home.table(pipeline, table)).parent for table in tables}:
        sweep(folder)
    return removed
