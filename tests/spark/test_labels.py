"""Several labels of one pipeline: each known when it is, learned, scored and judged by itself."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from feature_store.definition import Check, Definition, Gate, Outcome
from feature_store.errors import NightscoreError, WriteFailed
from feature_store.features.encode import pack
from feature_store.features.labels import known_column, label_column
from feature_store.home import Home
from feature_store.schema import FEATURES, SCORES
from feature_store.tables.inputs import Inputs
from feature_store.tables.reader import Reader
from jobs.context import Context
from jobs.maintenance.tables import Retention, surplus_runs
from jobs.maintenance.tables import _remove as remove_run
from jobs.night.ledger import scores_latest
from jobs.night.night import NightRequest, run_night
from jobs.night.published import publication_of, published_rows
from jobs.night.score import register_udf
from jobs.registry import model_registry
from jobs.report.facts import labelled_metrics, read_facts
from jobs.report.render import render_report
from jobs.training.label_rows import labelled_rows
from jobs.training.labels import require_labels
from jobs.training.outcomes import bring_outcomes
from jobs.training.train import TrainResult, train
from jobs.training.training_set import EVAL, TRAIN, freeze
from models.errors import BundleInvalid
from models.scoring import bundle
from tests.sales import BUYERS, Sale, sales_stream
from tests.spark.test_outcomes import by_hand
from tests.toy import Row, clicky_definition, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAYS = toy_days(14)
NIGHT = DAYS[9]
ITEMS = "xyz"


def rows() -> list[Row]:
    """Return rows of which some are clicked, one of a click nobody knows, and one known late."""
    rng = random.Random(3)
    found = [
        Row(day=d, user=u, item=i, clicked=rng.random() < 0.5, click_known=20.0)
        for d in range(13)
        for u in BUYERS
        for i in ITEMS
    ]
    found[0] = replace(found[0], clicked=None)
    found[1] = replace(found[1], clicked=True, click_known=24.0 * 10)
    return found


def sales() -> list[Sale]:
    rng = random.Random(4)
    return [
        Sale(day=d, number=n, buyer=rng.choice(BUYERS[:4]), amount=5.0)
        for d in range(12)
        for n in range(2)
    ]


def of_sales(name: str = "buys", **changes: Any) -> Outcome:
    outcome = Outcome(
        name=name, given="clicked", stream=sales_stream(sales()), keys=("buyer",), on=("user",),
        value="amount > 0", known="told", within_days=2,
    )  # fmt: skip
    return replace(outcome, **changes)


def definition(**changes: Any) -> Definition:
    clicked = clicky_definition().labels[0]
    either = tuple(
        Check(stage="scores", kind="between", columns=(name,), minimum=0, maximum=1)
        for name in ("score_clicked", "score_buys")
    )
    changes = {"labels": (clicked, of_sales()), "checks": either, **changes}
    return clicky_definition(rows(), gate=Gate(min_auc=0.0, max_ece=1.0), **changes)


@pytest.fixture(scope="module")
def made(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Context, TrainResult]:
    """A pipeline of two labels, trained and run for a night."""
    context = Context.open(definition(), Home.of(tmp_path_factory.mktemp("home")), spark)
    result = train(context, DAYS[0], DAYS[6], DAYS[8], compiled=False, on_progress=lambda _: None)
    run_night(context, NightRequest(ds=NIGHT, model=result.model, who="test"), lambda *_: None)
    return context, result


def test_a_given_label_is_there_where_what_it_is_given_is_true_and_known_when_both_are(
    made: tuple[Context, TrainResult],
) -> None:
    context, days = made[0], DAYS[:3]
    clicked = {(DAYS[row.day], row.user, row.item): row.clicked for row in rows()}
    found = {(r["ds"], r["user"], r["item"]): r for r in labelled_rows(context, days).collect()}
    assert len(found) == 3 * len(BUYERS) * len(ITEMS)
    seen = set()
    for (day, user, item), row in found.items():
        value, place = clicked[day, user, item], DAYS.index(day)
        bought = by_hand(sales(), place, user, within=2, settle=0, hours=0)
        told = None if value is None else float(value)
        wanted = bought if value else None
        assert (row[label_column("clicked")], row[label_column("buys")]) == (told, wanted)
        seen.add((told, wanted))
        settled = row[known_column("buys")]
        assert settled >= row[known_column("clicked")]
    assert seen == {(None, None), (0.0, None), (1.0, 0.0), (1.0, 1.0)}


def test_a_row_with_some_label_is_learned_from_and_one_with_none_is_not(
    made: tuple[Context, TrainResult],
) -> None:
    context, result = made
    frozen = result.training_set
    train_days = frozen.manifest["days"][TRAIN]
    # Two days are needed to settle what is bought, and are left out before the next split.
    assert train_days == [["2026-01-01", "2026-01-04"]]
    split = frozen.splits[TRAIN]
    per_day = len(BUYERS) * len(ITEMS)
    # Neither the click that nobody knows nor the one known when evaluation had begun.
    assert split.rows == split.labels["clicked"].rows == 4 * per_day - 2
    assert split.labels["buys"].rows == split.labels["clicked"].positives
    table = pq.read_table(list(split.files), partitioning=None)
    assert table["y_buys"].null_count == split.rows - split.labels["buys"].rows > 0
    assert [entry["name"] for entry in frozen.manifest["labels"]] == ["clicked", "buys"]
    only = Context.open(
        definition(labels=(context.definition.labels[0],), checks=()), context.home, context.spark
    )
    assert "labels" not in freeze(only, [*DAYS[:4], DAYS[5]], DAYS[7:9]).manifest


def test_each_label_is_judged_on_its_rows_and_its_figures_are_told_by_its_name(
    made: tuple[Context, TrainResult],
) -> None:
    _, result = made
    split = result.training_set.splits[EVAL]
    assert {n: e.rows for n, e in result.evaluations.items()} == {
        "clicked": split.rows, "buys": split.labels["buys"].rows,
    }  # fmt: skip
    metrics = result.model.metrics
    assert metrics["buys/eval_rows"] == split.labels["buys"].rows < metrics["clicked/eval_rows"]
    assert "eval_auc" not in metrics
    assert any(note.startswith("Label buys: AUC ") for note in result.decision.notes)
    loaded = bundle.load(result.model.path, result.model.digest)
    assert loaded.signature.labels == ("clicked", "buys")
    assert set(loaded.metrics["labels"]) == {"clicked", "buys"}


def test_a_label_without_both_classes_in_a_split_is_named_with_the_split(
    made: tuple[Context, TrainResult],
) -> None:
    context, _ = made
    never = of_sales(value="amount > 1000")
    other = replace(context.definition, labels=(context.definition.labels[0], never))
    renewed = Context.open(other, context.home, context.spark)
    days = {"train": DAYS[:3], "valid": DAYS[5:6], "eval": DAYS[7:9]}
    bring_outcomes(renewed, DAYS[:9], lambda _: None)
    with pytest.raises(NightscoreError, match=r"label 'buys' is False in all \d+ rows of split tr"):
        require_labels(renewed, days, list(days))
    nobody = replace(context.definition.labels[0], expression="clicked AND NOT clicked")
    emptied = replace(context.definition, labels=(nobody, of_sales()))
    with pytest.raises(NightscoreError, match=r"label 'clicked' is False in all"):
        require_labels(Context.open(emptied, context.home, context.spark), days, list(days))


def test_a_night_has_a_column_of_scores_for_each_label(
    made: tuple[Context, TrainResult],
) -> None:
    context, result = made
    frame = scores_latest(context, [NIGHT])
    assert [name for name in frame.columns if name.startswith("score")] == [
        "score_clicked", "score_buys",
    ]  # fmt: skip
    told = {(r.user, r.item): (r.score_clicked, r.score_buys) for r in frame.collect()}
    assert len(told) == len(BUYERS) * len(ITEMS)
    assert all(0 < score < 1 for scores in told.values() for score in scores)
    # The UDF gives the same two, by name.
    register_udf(context.spark, result.model)
    packed = pack(context.warehouse.read(FEATURES, [NIGHT]), context.definition)
    packed.createOrReplaceTempView("packed_of_labels")
    query = "SELECT user, item, nightscore_score(_keys, _values) AS s FROM packed_of_labels"
    by_udf = {(r.user, r.item): tuple(r.s) for r in context.spark.sql(query).collect()}
    assert by_udf == told
    reader = Reader(context.home, "toy")
    columns = context.definition.score_columns
    of = publication_of(reader, NIGHT)
    shown = list(published_rows(reader, of, context.definition.keys, columns, is_top=True))
    assert shown[0]["score_clicked"] == max(scores[0] for scores in told.values())
    assert {(r["user"], r["item"]): (r["score_clicked"], r["score_buys"]) for r in shown} == told


@pytest.mark.slow
def test_the_report_tells_how_good_each_label_was_once_it_is_known(
    made: tuple[Context, TrainResult],
) -> None:
    context, _ = made
    assert set(labelled_metrics(context, NIGHT)) == {"clicked"}, "what is bought is not told yet"
    bring_outcomes(context, [NIGHT], lambda _: None)
    found = labelled_metrics(context, NIGHT)
    clicks = [row.clicked for row in rows() if DAYS[row.day] == NIGHT]
    assert found["clicked"]["rows"] == len(clicks)
    assert found["buys"]["rows"] == sum(map(bool, clicks))
    with open(render_report(context, NIGHT)) as file:
        page = file.read()
    for text in ("<h3>clicked</h3>", "<h3>buys</h3>", "whose label <code>buys</code> is known"):
        assert text in page
    assert page.count("<svg") == 4, "of each label its scores, and its calibration curve"


@pytest.mark.parametrize("bad", [float("nan"), None, 1.1])
def test_no_score_of_any_label_may_be_something_else_than_a_probability(
    spark: SparkSession, home: Home, bad: float | None
) -> None:
    context = Context.open(definition(), home, spark)
    schema = "ds date, run_id string, user string, item string, score_clicked float, "
    frame = spark.createDataFrame([(NIGHT, "r", "u", "i", 0.5, bad)], f"{schema}score_buys float")
    with pytest.raises(WriteFailed, match="score_range"):
        context.warehouse.replace_runs(
            SCORES, frame, {(NIGHT, "r"): Inputs(definition="d", code="c")},
            probabilities=context.definition.score_columns,
        )  # fmt: skip


# The last: it scores the pipeline by another label.
@pytest.mark.slow
def test_other_labels_need_another_model_and_their_scores_go_to_a_table_of_their_own(
    made: tuple[Context, TrainResult],
) -> None:
    context, result = made
    clicked = context.definition.labels[0]
    alone = definition(labels=(clicked,), checks=())
    single = Context.open(alone, context.home, context.spark)
    request = NightRequest(ds=DAYS[10], model=result.model, who="test")
    with pytest.raises(BundleInvalid, match=r"the labels clicked: .*; buys: .* asks for the label"):
        run_night(single, request, lambda *_: None)
    other = train(single, DAYS[0], DAYS[6], DAYS[8], compiled=False, on_progress=lambda _: None)
    assert any("another label" in note for note in other.decision.notes)
    run_night(single, replace(request, model=other.model), lambda *_: None)
    assert single.warehouse.days.generations(SCORES) == [1, 2]
    assert scores_latest(single, [DAYS[10]]).where(F.col("score").isNull()).isEmpty()
    # What was published of both labels is still there, and has no score of the one alone.
    before = scores_latest(single, [NIGHT, DAYS[10]]).where(F.col("ds") == NIGHT).collect()
    assert {row.score for row in before} == {None}
    assert all(0 < row.score_buys < 1 for row in before)
    assert "score" not in scores_latest(single, [NIGHT]).columns
    reader = Reader(single.home, "toy")
    old = list(published_rows(reader, publication_of(reader, NIGHT), alone.keys, ("score",)))
    assert {row["score"] for row in old} == {None}
    assert labelled_metrics(single, NIGHT) == {}
    facts = read_facts(single, DAYS[10])
    (alone_scores,) = facts.scores
    assert (alone_scores.day.rows, alone_scores.before) == (len(BUYERS) * len(ITEMS), [])
    assert alone_scores.drift is None
    for day in (NIGHT, DAYS[10]):
        run_night(single, replace(request, ds=day, model=other.model), lambda *_: None)
    for surplus in surplus_runs(single, Retention(staged_hours=0, runs_per_day=1)):
        remove_run(single, surplus)
    assert model_registry.champion(single.home, "toy") == other.model
    published = scores_latest(single, [NIGHT, DAYS[10]])
    assert published.where(F.col("score").between(0, 1)).count() == 2 * len(BUYERS) * len(ITEMS)
    assert single.warehouse.days.generations(SCORES) == [1, 2]
