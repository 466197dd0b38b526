"""The weather of the hours before and after is of the same day, and adds up to what is there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from feature_store.sources import nycflights_tables

NAMES = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure"]


def write_weather(folder: Path) -> None:
    """Three days at two airports, in no order, with hours and values that lack."""
    rng = np.random.default_rng(4)
    hours = pd.date_range("2013-03-01 05:00", periods=72, freq="h", tz="UTC")
    frames = []
    for origin in ("EWR", "JFK"):
        local = hours.tz_convert("America/New_York")
        frame = pd.DataFrame(rng.integers(0, 60, (72, 8)) / 10, columns=NAMES)
        frame["visib"] = rng.integers(0, 11, 72).astype(float)
        frame["precip"] = rng.integers(0, 40, 72) / 100
        frame.insert(0, "origin", origin)
        for name in ("year", "month", "day", "hour"):
            frame[name] = getattr(local, name)
        frame["time_hour"] = hours.strftime("%Y-%m-%dT%H:%M:%SZ")
        frame.loc[rng.random(72) < 0.1, "wind_speed"] = np.nan
        frames.append(frame[rng.random(72) > 0.1])
    pd.concat(frames).sample(frac=1, random_state=1).to_csv(folder / "weather.csv", index=False)


def test_what_the_day_brought_so_far_and_will_bring_next(tmp_path: Path) -> None:
    write_weather(tmp_path)
    rows = nycflights_tables.build(tmp_path, "weather").to_pandas()
    assert len(rows) > 100
    for row in rows.itertuples():
        same = rows[(rows["origin"] == row.origin) & (rows["ds"] == row.ds)]
        ago = row.event_time - same["event_time"]
        past = {n: same[(ago >= timedelta(0)) & (ago < timedelta(hours=n))] for n in (6, 12)}
        ahead = same[ago <= timedelta(0)].sort_values("event_time").head(4)
        found = [row.precip_6h, row.precip_12h, row.precip_ahead, row.visib_12h, row.wind_12h]
        expected = [
            past[6]["precip"].sum(), past[12]["precip"].sum(), ahead["precip"].sum(),
            past[12]["visib"].min(), past[12]["wind_speed"].max(),
        ]  # fmt: skip
        np.testing.assert_allclose(found, expected, atol=1e-9)
