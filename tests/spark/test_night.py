"""Promises of a night: every row scored once, published whole or not at all, and only forward."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from feature_store.definition import Check, Gate, Numeric
from feature_store.errors import (
    CheckFailed,
    NightscoreError,
    PartitionNotReady,
    PublishFenced,
    SourceDayMissing,
    TooManyBadRows,
)
from feature_store.features.encode import KEYS, VALUES, pack
from feature_store.home import Home
from feature_store.schema import FEATURES, SCORES
from jobs.context import Context
from jobs.night.ledger import current, history, scores_latest
from jobs.night.night import NightRequest, NightResult, run_night
from jobs.night.publish import rollback
from jobs.registry import model_registry
from jobs.training.train import train
from models.errors import BundleInvalid
from models.scoring.predict import predictor
from tests.toy import (
    EVENTS,
    QUARANTINE,
    TILES,
    Row,
    changed,
    clicky_definition,
    clicky_rows,
    toy_days,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

DAYS = toy_days(10)
YESTERDAY, TONIGHT = DAYS[8], DAYS[9]
USERS, ITEMS = 10, 6
TABLES = (EVENTS, QUARANTINE, TILES, "features", "scores", "ledger", "quality", "lineage")

Made = Callable[..., Context]


def toy_rows() -> list[Row]:
    """60 rows a day, of which the champion's home has the first eight days."""
    return clicky_rows(10)


def dirty_rows() -> list[Row]:
    """What the source holds besides, of tonight."""
    return [
        Row(day=9, user="u0", item="i0", price=0.5, click_known=20.0),  # key twice
        Row(day=9, user="bad", item="i0", price=-1.0),  # below the minimum
        Row(day=9, user="nan", item="i0", price=float("nan")),
        Row(day=9, user="late", item="i0", planned=2.0),  # not known before the cut-off
    ]


def definition_of(rows: list[Row], **changes: Any) -> Definition:
    gate = Gate(min_auc=0.5, max_ece=0.9, max_auc_drop=1.0)
    return replace(clicky_definition(rows, gate=gate), **changes)


@pytest.fixture(scope="module")
def trained(
    spark: SparkSession, champion_home: Home, tmp_path_factory: pytest.TempPathFactory
) -> Context:
    """A home with version 1, compiled, as champion, and yesterday published by it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home = Home.of(tmp_path_factory.mktemp("night") / "home")
        shutil.copytree(champion_home.root, home.root)
        context = Context.open(definition_of(toy_rows()), home, spark)
        night(context, ds=YESTERDAY)
    return context


@pytest.fixture
def made(trained: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make contexts of a definition over a copy of that home."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(trained.home.root, tmp_path / "copy")
    home = Home.of(tmp_path / "copy")

    def make(definition: Definition | None = None) -> Context:
        return Context.open(definition or trained.definition, home, trained.spark)

    return make


@pytest.fixture(scope="module")
def two_models(trained: Context, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A copy of that home with champion version 2; it published yesterday anew, and tonight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        context = copy_of(trained, tmp_path_factory.mktemp("two") / "home")
        second_model(context)
        night(context, ds=YESTERDAY)
        night(context)
    return context


@pytest.fixture
def second(two_models: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A copy of the home with two models."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy_of(two_models, tmp_path / "copy")


def copy_of(context: Context, place: Path) -> Context:
    shutil.copytree(context.home.root, place)
    return Context.open(context.definition, Home.of(place), context.spark)


def night(context: Context, which: str | int = "champion", **asked: Any) -> NightResult:
    ref = model_registry.get(context.home, context.definition.name, which)
    asked = {"ds": TONIGHT, "who": "ann", **asked}
    return run_night(context, NightRequest(model=ref, **asked), lambda *_: None)


def second_model(context: Context) -> None:
    """Train version 2 from another seed, without compiled code, and promote it."""
    other = replace(context.definition.training, seed=11)
    another = Context.open(changed(context.definition, training=other), context.home, context.spark)
    result = train(another, DAYS[0], DAYS[4], DAYS[7], on_progress=lambda _: None, compiled=False)
    assert (result.model.version, result.promoted) == (2, True)


def never_loaded(context: Context) -> model_registry.ModelRef:
    """Register version 2: the same model, of which no worker has a copy in memory."""
    place = model_registry.new_bundle_path(context.home, "toy")
    shutil.copytree(model_registry.champion(context.home, "toy").path, place)
    manifest = place / "manifest.json"
    manifest.write_text(f"{manifest.read_text()}\n")
    return model_registry.register(context.home, "toy", place, {}, {}, {})


def versions(context: Context) -> dict[str, int | None]:
    return {table: context.warehouse.version(table) for table in TABLES}


def published(context: Context, ds: object = TONIGHT) -> dict[tuple[str, str], float]:
    rows = scores_latest(context, [ds]).collect()  # type: ignore[list-item]
    found = {(row.user, row.item): row.score for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_night_publishes_the_models_score_of_every_row_once_and_a_rerun_writes_nothing(
    made: Made,
) -> None:
    context = made()
    result = night(context)
    assert (result.status, result.rows, result.model_version) == ("published", 60, 1)
    assert result.checks == 4
    assert list(result.seconds) == [
        "ingest", "features", "check features", "score", "check scores", "publish",
    ]  # fmt: skip
    scores = published(context)
    assert set(scores) == {(f"u{u}", f"i{i}") for u in range(USERS) for i in range(ITEMS)}

    # The same rows, encoded by hand and scored without Spark.
    ref = model_registry.champion(context.home, "toy")
    encoded = pack(context.warehouse.read(FEATURES, [TONIGHT]), context.definition).toPandas()
    expected = predictor(ref.path, ref.digest).predict(
        np.stack(encoded[KEYS].to_list()).astype(np.int64),
        np.stack(encoded[VALUES].to_list()).astype(np.float32),
    )
    found = [scores[user, item] for user, item in zip(encoded.user, encoded.item, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)

    before = versions(context)
    again = night(made())
    assert (again.status, again.rows, again.run_id) == ("already published", 60, result.run_id)
    assert versions(context) == before


@pytest.mark.slow
def test_a_forced_night_scores_again_and_is_the_next_publication(made: Made) -> None:
    context = made()
    first = night(context, ds=YESTERDAY, force=True, why="late rows")
    past = history(context, [YESTERDAY])
    assert [p.sequence for p in past] == [1, 2]
    assert past[1].run_id == first.run_id
    assert (past[1].who, past[1].why) == ("ann", "late rows")
    assert len(published(context, YESTERDAY)) == 60


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (
            Check(stage="features", kind="between", columns=("price",), minimum=0, maximum=6.5),
            r"checks on features failed: between\(price\) column=price .* bad_rows=18 of 60",
        ),
        pytest.param(
            Check(stage="scores", kind="mean_between", columns=("score",), minimum=0.99),
            r"checks on scores failed: mean_between\(score\) column=score observed=0\.",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_failed_check_publishes_nothing_and_names_itself(
    made: Made, check: Check, text: str
) -> None:
    sound = made()
    context = made(replace(sound.definition, checks=(*sound.definition.checks, check)))
    yesterday = published(context, YESTERDAY)
    with pytest.raises(CheckFailed, match=text):
        night(context)
    assert TONIGHT not in current(context)
    assert published(context, YESTERDAY) == yesterday


@pytest.mark.slow
def test_a_rollback_shows_at_once_and_a_rerun_does_not_undo_it(second: Context) -> None:
    by_second = published(second, YESTERDAY)
    first, now = history(second, [YESTERDAY])
    back = rollback(second, YESTERDAY, who="ann", why="bad model")
    assert (back.run_id, back.sequence, back.model_version) == (first.run_id, 3, 1)
    by_first = published(second, YESTERDAY)
    assert set(by_first) == set(by_second)
    assert by_first != by_second

    with pytest.raises(PublishFenced, match=f"{now.run_id} was published before"):
        night(second, ds=YESTERDAY)
    assert published(second, YESTERDAY) == by_first
    # There is nothing before the first run; it does not swing back to the bad one.
    with pytest.raises(NightscoreError, match=f"no earlier run.*--to-run: {now.run_id}"):
        rollback(second, YESTERDAY, who="ann", why="again")
    forth = rollback(second, YESTERDAY, who="ann", why="was right", to_run=now.run_id)
    assert (forth.sequence, published(second, YESTERDAY)) == (4, by_second)


@pytest.mark.slow
def test_an_older_model_does_not_replace_a_newer_ones_scores_unasked(second: Context) -> None:
    newer = current(second)[TONIGHT]
    with pytest.raises(PublishFenced, match="version 1 is older than the published 2"):
        night(second, 1)
    assert current(second)[TONIGHT] == newer
    older = night(second, 1, allow_older_model=True)
    assert current(second)[TONIGHT].run_id == older.run_id != newer.run_id


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tables.safetensors", "manifest.json"])
def test_a_tampered_bundle_is_refused_by_name(made: Made, name: str) -> None:
    context = made()
    file = Path(never_loaded(context).path) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleInvalid, match=re.escape(str(file))):
        night(context, 2)
    assert TONIGHT not in current(context)
    assert context.warehouse.version(SCORES) == made().warehouse.version(SCORES)
    assert len(published(context, YESTERDAY)) == 60


def test_a_model_of_other_features_is_refused(made: Made) -> None:
    sound = made()
    features = (*sound.definition.features[:-1], Numeric(name="cost", column="price"))
    context = made(replace(sound.definition, features=features, checks=sound.definition.checks[:1]))
    with pytest.raises(BundleInvalid, match=r"trained on other features.*nightscore train"):
        night(context)
    assert TONIGHT not in current(context)


@pytest.mark.slow
def test_a_model_of_another_label_is_refused(made: Made) -> None:
    sound = made()
    other = replace(sound.definition.labels[0], expression="NOT clicked")
    context = made(replace(sound.definition, labels=(other,)))
    said = r"predicts the label clicked: 'clicked' .* asks for .* 'NOT clicked' .*nightscore train"
    with pytest.raises(BundleInvalid, match=said):
        night(context)
    assert TONIGHT not in current(context)


def test_bad_and_duplicate_rows_are_set_aside_with_the_reason(made: Made) -> None:
    context = made(definition_of([*toy_rows(), *dirty_rows()]))
    result = night(context)
    reasons = {
        row.reason: row["count"]
        for row in context.warehouse.read(QUARANTINE, [TONIGHT]).groupBy("reason").count().collect()
    }
    assert reasons == {"duplicate_key": 1, "range(price)": 1, "not_finite(price)": 1}
    assert result.rows == 60  # the row that came too late is an event, but not scored
    assert len(published(context)) == 60


@pytest.mark.slow
def test_too_many_bad_rows_stop_the_night_before_anything_else(made: Made) -> None:
    context = made(definition_of([*toy_rows(), *dirty_rows()], max_bad_share=0.01))
    with pytest.raises(TooManyBadRows, match=r"3 bad of 64 rows .*duplicate_key 1"):
        night(context)
    assert context.warehouse.commit(FEATURES, TONIGHT) is None
    assert context.warehouse.read(QUARANTINE, [TONIGHT]).count() == 3
    assert TONIGHT not in current(context)
    assert len(published(context, YESTERDAY)) == 60
    # Mended, the same night goes through.
    assert night(made()).status == "published"


def test_a_day_the_source_lacks_and_a_missing_history_say_what_to_do(made: Made) -> None:
    context = made()
    with pytest.raises(PartitionNotReady, match=f"events: missing ds={TONIGHT} .* were never"):
        night(context, ds=toy_days(11)[-1])
    night(context)
    with pytest.raises(SourceDayMissing, match="toy: source has no rows for ds=2026-01-11"):
        night(context, ds=toy_days(11)[-1])
    fresh = Context.open(context.definition, Home.of(f"{context.home.root}-fresh"), context.spark)
    ref = model_registry.champion(context.home, "toy")
    with pytest.raises(PartitionNotReady, match="Run: nightscore prepare --pipeline toy"):
        run_night(fresh, NightRequest(ds=TONIGHT, model=ref, who="ann"), lambda *_: None)
