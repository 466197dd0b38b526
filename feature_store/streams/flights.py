"""Flights out of New York City, 2013: planned the evening before, and what became of them."""

from __future__ import annotations

from datetime import date

from feature_store.definition import Column, Known, Stream
from feature_store.sources.nycflights import NycFlights

_SCHEDULE = (
    Column(name="carrier", dtype="string", known="schedule", nullable=False),
    Column(name="origin", dtype="string", known="schedule", nullable=False),
    Column(name="dest", dtype="string", known="schedule", nullable=False),
    Column(name="route", dtype="string", known="schedule", nullable=False),
    Column(name="tailnum", dtype="string", known="schedule"),
    Column(name="flight", dtype="int", known="schedule", nullable=False, minimum=1),
    Column(name="distance", dtype="int", known="schedule", minimum=1, maximum=12_000),
    Column(name="weekday", dtype="int", known="schedule", minimum=1, maximum=7),
    Column(name="sched_dep_hour", dtype="int", known="schedule", minimum=0, maximum=23),
    Column(name="sched_dep_minute_of_day", dtype="int", known="schedule", minimum=0, maximum=1440),
    Column(name="sched_arr_minute_of_day", dtype="int", known="schedule", minimum=0, maximum=1440),
    Column(name="sched_minutes", dtype="int", known="schedule", minimum=1, maximum=1440),
    Column(name="hour_departures", dtype="int", known="schedule", minimum=1),
    Column(name="sched_dep_at", dtype="timestamp", known="schedule", nullable=False),
    Column(name="schedule_known_at", dtype="timestamp", known="schedule", nullable=False),
)

_OUTCOME = (
    Column(name="dep_delay", dtype="int", known="departure", minimum=-120, maximum=2_880),
    Column(name="departed_at", dtype="timestamp", known="departure", nullable=False),
    Column(name="arr_delay", dtype="int", known="arrival", minimum=-240, maximum=2_880),
    Column(name="arrival_known_at", dtype="timestamp", known="arrival", nullable=False),
)

FLIGHTS = Stream(
    name="flights",
    source=NycFlights(),
    keys=("carrier", "flight", "origin"),
    event_time="sched_dep_at",
    # The schedule is of a local day, four or five hours behind UTC.
    event_days=(0, 1),
    knowns=(
        Known(name="schedule", at="schedule_known_at"),
        Known(name="departure", at="departed_at", after_event=True),
        Known(name="arrival", at="arrival_known_at", after_event=True),
    ),
    columns=(*_SCHEDULE, *_OUTCOME),
    first_day=date(2013, 1, 1),
    last_day=date(2013, 12, 31),
)
