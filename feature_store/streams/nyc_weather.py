"""Weather by the hour at the airports of New York City, 2013, as if forecast the evening before.

Hourly observations stand in for the forecast (`feature_store.sources.nycflights.NycWeather`).
"""

from __future__ import annotations

from datetime import date

from feature_store.definition import Column, Known, Stream
from feature_store.sources.nycflights import NycWeather

NUMBERS = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
    "precip_6h",
    "precip_12h",
    "precip_ahead",
    "visib_12h",
    "wind_12h",
)

NYC_WEATHER = Stream(
    name="nyc_weather",
    source=NycWeather(),
    keys=("origin", "event_time"),
    event_time="event_time",
    # The hours of a local day, four or five hours behind UTC.
    event_days=(0, 1),
    knowns=(Known(name="forecast", at="known_at"),),
    columns=(
        Column(name="origin", dtype="string", known="forecast", nullable=False),
        *(Column(name=name, dtype="double", known="forecast") for name in NUMBERS),
        Column(name="event_time", dtype="timestamp", known="forecast", nullable=False),
        Column(name="known_at", dtype="timestamp", known="forecast", nullable=False),
    ),
    first_day=date(2013, 1, 1),
    last_day=date(2013, 12, 31),
    absent_days=(date(2013, 12, 31),),
)
