"""Aircraft as they were registered before 2013: one snapshot."""

from __future__ import annotations

from datetime import date

from feature_store.definition import Column, Known, Stream
from feature_store.sources.nycflights import NycPlanes

NYC_PLANES = Stream(
    name="nyc_planes",
    source=NycPlanes(),
    kind="snapshots",
    keys=("tailnum",),
    event_time="event_time",
    knowns=(Known(name="registration", at="known_at"),),
    columns=(
        Column(name="tailnum", dtype="string", known="registration", nullable=False),
        Column(name="manufacturer", dtype="string", known="registration"),
        Column(name="model", dtype="string", known="registration"),
        Column(name="engine", dtype="string", known="registration"),
        Column(name="plane_year", dtype="int", known="registration"),
        Column(name="seats", dtype="int", known="registration"),
        Column(name="event_time", dtype="timestamp", known="registration", nullable=False),
        Column(name="known_at", dtype="timestamp", known="registration", nullable=False),
    ),
    first_day=date(2013, 1, 1),
)
