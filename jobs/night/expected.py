"""What each table's day should be made of now: the one place that knows what depends on what.

The steps compare these inputs with the stored ones to skip a finished day; the planner compares
them to say why a day is stale. Both therefore always agree.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.definition import plain
from feature_store.errors import SourceDayMissing
from feature_store.schema import EVENTS, FEATURES, SCORES, TILES, lookup_table
from feature_store.tables.inputs import Inputs
from jobs.version import revision

if TYPE_CHECKING:
    from collections.abc import Callable

    from feature_store.definition import Definition, Lookup
    from jobs.context import Context

log = logging.getLogger(__name__)


def events_inputs(context: Context, day: date) -> Inputs:
    """Return the inputs of a day of `events` (and of its quarantine)."""
    definition = context.definition
    is_absent = day in definition.absent_days
    return Inputs(
        definition=definition.digest("events"),
        code=revision(EVENTS, definition.source),
        source="absent" if is_absent else definition.source.fingerprint(day),
    )


def lookup_inputs(context: Context, lookup: Lookup, day: date) -> Inputs:
    """Return the inputs of a day of a lookup's table."""
    text = json.dumps(plain(lookup), sort_keys=True)
    return Inputs(
        definition=hashlib.sha256(text.encode()).hexdigest()[:16],
        code=revision(EVENTS, lookup.source),
        source=lookup.source.fingerprint(day),
    )


def unless_gone(
    context: Context, table: str, days: Sequence[date], inputs: Callable[[date], Inputs]
) -> dict[date, Inputs]:
    """Return `inputs` of each day; of one that its source no longer has, those it was stored with.

    What was ingested before its source was archived stays good, here as in
    `jobs.backfill.freshness`. It cannot be made anew: columns that the
    definition gained since are null there, which is told.

    Raises:
        SourceDayMissing: the source has nothing for a day that was never stored either.
    """
    found, outgrown = {}, []
    for day in days:
        try:
            found[day] = inputs(day)
        except SourceDayMissing:
            stored = context.warehouse.commit(table, day)
            if stored is None:
                raise
            found[day] = stored.inputs
            if stored.inputs.definition != context.definition.digest("events"):
                outgrown.append(day)
    if table == EVENTS and outgrown:
        log.warning(
            "pipeline=%s %d days from %s on are archived at the source and stay as an older "
            "definition made them: what it gained since is null there",
            context.definition.name, len(outgrown), outgrown[0],
        )  # fmt: skip
    return found


def tiles_inputs(context: Context, day: date) -> Inputs:
    """Return the inputs of a day of `tiles`."""
    return Inputs(
        definition=context.definition.digest("tiles"),
        code=revision(TILES),
        pins={EVENTS: context.warehouse.pins(EVENTS, [day])},
    )


def features_inputs(context: Context, day: date) -> Inputs:
    """Return the inputs of a day of `features`.

    Raises:
        PartitionNotReady: a day of events, of the history window or of a lookup is missing.
    """
    definition, warehouse = context.definition, context.warehouse
    pins = {EVENTS: warehouse.pins(EVENTS, [day])}
    window = definition.window_days(day)
    if window:
        pins[TILES] = warehouse.pins(TILES, window)
    for lookup in definition.lookups:
        table = lookup_table(lookup.name)
        pins[table] = warehouse.pins(table, lookup_days(definition, lookup, [day]))
    return Inputs(definition=definition.digest("features"), code=revision(FEATURES), pins=pins)


def scores_inputs(context: Context, day: date, model_digest: str) -> Inputs:
    """Return the inputs of a day of `scores`, made by one model."""
    definition = context.definition
    return Inputs(
        definition=f"{definition.digest('scores')}{definition.digest('encoding')}",
        code=revision(SCORES),
        model=model_digest,
        pins={FEATURES: context.warehouse.pins(FEATURES, [day])},
    )


def run_id(pipeline: str, day: date, inputs: Inputs) -> str:
    """Return the id of the run that scores `day` from `inputs`: the same inputs, the same id."""
    text = f"{pipeline}/{day.isoformat()}/{inputs.to_json()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lookup_days(definition: Definition, lookup: Lookup, days: Sequence[date]) -> list[date]:
    """Return the days of a lookup's table that rows of `days` may read."""
    if lookup.snapshot:
        return [definition.first_day]
    assert lookup.max_age_hours is not None  # noqa: S101 - checked at load
    back = -(-lookup.max_age_hours // 24)
    needed = {day - timedelta(days=i) for day in days for i in range(back + 1)}
    return sorted(day for day in needed if day >= definition.first_day)
