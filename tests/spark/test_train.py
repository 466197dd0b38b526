"""Promises of training: judged on later days, promoted only past the gate, the same twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from feature_store.definition import Gate, Numeric
from feature_store.errors import GateRefused, NightscoreError, UsageError
from feature_store.home import Home
from feature_store.schema import FEATURES
from jobs.context import Context
from jobs.night.ingest import ingest_events
from jobs.registry import model_registry
from jobs.training.days import training_days
from jobs.training.labels import require_labels
from jobs.training.recipe import signature_of
from jobs.training.train import TrainResult, train
from jobs.training.training_set import VALID, split_days
from models.errors import ModelInvalid, UnknownModel
from models.scoring import bundle
from tests.conftest import SEGMENTED, Champion
from tests.toy import EVENTS, TILES, Rows, changed, clicky_definition, clicky_rows, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

DAYS = toy_days(8)
FIRST, LAST, EVAL_TO = DAYS[0], DAYS[4], DAYS[7]


def lenient(gate: Gate = SEGMENTED) -> Definition:
    return clicky_definition(gate=gate)


@pytest.fixture(scope="module")
def first(champion: Champion, spark: SparkSession) -> tuple[Context, TrainResult, list[str]]:
    """The home of the champion of all tests, compiled as it would be at work."""
    return Context.open(lenient(), champion.home, spark), champion.result, champion.said


Made = Callable[..., Context]


@pytest.fixture
def again(
    first: tuple[Context, TrainResult, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Made:
    """Make contexts of a definition over a copy of that home."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(first[0].home.root, tmp_path / "copy")
    home = Home.of(tmp_path / "copy")
    return lambda definition: Context.open(definition, home, first[0].spark)


def run(context: Context, **options: Any) -> TrainResult:
    """Train as the first time, without the compiled package."""
    return train(
        context, FIRST, LAST, EVAL_TO, on_progress=lambda _: None, compiled=False, **options
    )


def test_days_that_the_source_will_never_have_are_in_no_split() -> None:
    definition = changed(lenient(), absent_days=(DAYS[2], DAYS[6]))
    learnt, judged = training_days(definition, FIRST, LAST, EVAL_TO)
    assert learnt == [day for day in DAYS[:5] if day != DAYS[2]]
    assert judged == [DAYS[5], DAYS[7]]
    assert training_days(definition, FIRST, LAST, None) == (learnt, [])


def test_a_first_model_that_passes_becomes_champion(
    first: tuple[Context, TrainResult, list[str]],
) -> None:
    context, result, _ = first
    assert result.promoted
    assert result.model.aliases == ("champion",)
    assert model_registry.champion(context.home, "toy") == result.model
    assert "There is no champion to compare with." in result.decision.notes
    found = result.evaluations["clicked"]
    assert found.rows == 180
    assert 0.7 < found.auc.low < found.auc.high
    assert found.logloss < found.baseline_logloss
    assert [(s.value, s.rows) for s in found.segments] == [(f"i{i}", 30) for i in range(6)]
    assert result.model.metrics["eval_auc"] == found.auc.value
    assert list(result.seconds) == [
        "prepare", "freeze", "train", "bundle", "evaluate", "register", "promote",
    ]  # fmt: skip


def test_progress_tells_days_rows_epochs_and_stages(
    first: tuple[Context, TrainResult, list[str]],
) -> None:
    text = "\n".join(first[2])
    assert "features 2026-01-01 to 2026-01-08: 8 days written, 0 found" in text
    assert "train 240 rows" in text
    assert "eval 180 rows" in text
    assert "epoch 1: train loss 0." in text
    assert "register: " in text


def test_a_bundle_says_what_it_was_made_of_and_holds_golden_rows_of_the_evaluation(
    first: tuple[Context, TrainResult, list[str]],
) -> None:
    context, result, _ = first
    loaded = bundle.load(result.model.path, result.model.digest)
    assert loaded.engine == "aoti"
    assert loaded.encoding_digest == context.definition.digest("encoding")
    assert loaded.signature == signature_of(context.definition)
    assert loaded.data["training_set"] == result.training_set.id
    assert loaded.data["pins"]["features"][0][:3] == ["2026-01-01", "2026-01-08", 0]
    assert loaded.data["days"]["eval"] == [["2026-01-06", "2026-01-08"]]


@pytest.mark.slow
def test_the_same_call_reads_the_same_rows_and_gives_the_same_weights(
    first: tuple[Context, TrainResult, list[str]], again: Made
) -> None:
    result = run(again(lenient()))
    assert result.training_set.is_reused
    assert result.training_set.id == first[1].training_set.id
    files = [json.loads(Path(m.path, "manifest.json").read_text())["files"] for m in
             (first[1].model, result.model)]  # fmt: skip
    for name in ("weights.safetensors", "tables.safetensors", "golden.safetensors"):
        assert files[0][name] == files[1][name]
    # The champion is the same model: no difference, so the newcomer passes.
    assert result.champion is not None
    scores = [found["clicked"].scores for found in (result.champion, result.evaluations)]
    np.testing.assert_allclose(*scores, atol=1e-5)
    assert (result.promoted, result.model.version) == (True, 2)


def test_a_refused_challenger_leaves_the_champion_in_place(again: Made) -> None:
    context = again(lenient(replace(SEGMENTED, min_auc=0.99)))
    with pytest.raises(GateRefused) as refused:
        run(context)
    message = str(refused.value)
    assert "lr version 2 was refused by the gate; lr version 1 stays champion." in message
    assert "breaks the limit min_auc=0.99" in message
    assert "nightscore models promote 2 --pipeline toy" in message
    assert model_registry.champion(context.home, "toy").version == 1
    assert model_registry.get(context.home, "toy", "challenger").version == 2


@pytest.mark.slow
def test_without_evaluation_days_nothing_is_promoted(again: Made) -> None:
    context = again(lenient())
    result = train(context, FIRST, LAST, None, on_progress=lambda _: None, compiled=False)
    assert (result.promoted, result.decision.passed) == (False, False)
    assert "--eval-to" in result.decision.reasons[0]
    assert result.model.aliases == ("challenger",)
    assert result.evaluations["clicked"].rows == result.training_set.splits["valid"].rows
    assert "valid_auc" in result.model.metrics
    assert model_registry.champion(context.home, "toy").version == 1


@pytest.mark.slow
def test_promote_can_be_left_to_a_person(again: Made) -> None:
    context = again(lenient())
    result = run(context, promote=False)
    assert (result.promoted, result.decision.passed) == (False, True)
    assert result.model.aliases == ("challenger",)
    assert model_registry.champion(context.home, "toy").version == 1


def test_a_tampered_champion_is_not_replaced_unseen(again: Made) -> None:
    context = again(lenient())
    champion = model_registry.champion(context.home, "toy")
    weights = Path(champion.path, "weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(GateRefused, match=r"champion cannot be loaded .*weights\.safetensors"):
        run(context)
    assert model_registry.champion(context.home, "toy").version == 1


def test_a_champion_of_another_encoding_is_not_compared(again: Made) -> None:
    definition = lenient()
    logged = tuple(
        replace(f, transform="log1p") if isinstance(f, Numeric) else f for f in definition.features
    )
    result = run(again(changed(definition, features=logged)))
    assert result.champion is None
    assert any("takes other features or another label" in note for note in result.decision.notes)
    assert result.promoted


@pytest.mark.slow
def test_a_champion_of_another_label_is_not_compared(again: Made) -> None:
    definition = lenient()
    other = replace(definition.labels[0], expression="NOT clicked")
    result = run(again(changed(definition, labels=(other,))))
    assert result.champion is None
    assert any("takes other features or another label" in note for note in result.decision.notes)


@pytest.mark.slow
def test_a_champion_trained_on_evaluation_days_is_noted(again: Made) -> None:
    context = again(lenient())
    result = train(context, FIRST, DAYS[3], DAYS[5], on_progress=lambda _: None, compiled=False,
                   promote=False)  # fmt: skip
    assert any("was trained on evaluation days" in note for note in result.decision.notes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "lrr"}, UnknownModel, "model 'lrr' does not exist. Choose one of: armnet, "),
        ({"model": "no.py:LRR"}, ModelInvalid, "model no.py:LRR: the file cannot be read: "),
        ({"eval_to": LAST}, UsageError, "--eval-to must be after --to"),
        ({"last": FIRST}, UsageError, "1 training days, of which validation_days=1"),
        ({"first": DAYS[5]}, UsageError, "--from must not be after --to"),
    ],
)
def test_a_request_that_cannot_work_is_refused_before_any_work(
    spark: SparkSession, home: Home, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    context = Context.open(lenient(), home, spark)
    request = {"first": FIRST, "last": LAST, "eval_to": EVAL_TO, **options}
    with pytest.raises(error, match=message):
        train(context, on_progress=lambda _: None, **request)
    assert not Path(home.root).exists()


@pytest.mark.parametrize(
    "hours", [30.0, *(pytest.param(hours, marks=pytest.mark.slow) for hours in (60.0, 71.9))]
)
def test_labels_that_come_later_than_the_days_held_out_are_refused_before_any_work(
    spark: SparkSession, home: Home, hours: float
) -> None:
    late = tuple(replace(row, click_known=hours) for row in clicky_rows())
    definition = changed(lenient(), source=Rows(late))
    context = Context.open(definition, home, spark)
    needed = int(hours // 24) + 1
    said = (
        rf"split valid \({LAST} to {LAST}\) has no label 'clicked' that was known in time: none of "
        rf"its 60 was before {DAYS[5]} 00:00 UTC.* by click_known_at, {hours / 24:.1f} days after "
        rf".* Set validation_days={needed} or more in the definition, and start training on "
        rf"{DAYS[4 - needed]} or before"
    )
    with pytest.raises(NightscoreError, match=said):
        run(context)
    assert sorted(day for _, day, _ in context.warehouse.commits(EVENTS)) == [LAST]
    assert context.warehouse.version(TILES) is None
    assert context.warehouse.version(FEATURES) is None

    advised = replace(definition.training, validation_days=needed)
    followed = Context.open(changed(definition, training=advised), home, spark)
    days = split_days(followed.definition, DAYS[:5], DAYS[5:])
    ingest_events(followed, followed.definition.stream, DAYS)
    require_labels(followed, days, [VALID])


def test_a_split_without_any_label_says_so_before_features_are_made(
    spark: SparkSession, home: Home
) -> None:
    none_later = tuple(replace(r, clicked=None) if r.day > 4 else r for r in clicky_rows())
    context = Context.open(changed(lenient(), source=Rows(none_later)), home, spark)
    with pytest.raises(
        NightscoreError, match=r"split eval .* clicked has no value.* all of its 180"
    ):
        run(context)
    assert context.warehouse.version(FEATURES) is None
