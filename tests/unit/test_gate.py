"""Promises of the gate: it refuses what is worse beyond doubt, and says why in sentences."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from feature_store.definition import Gate
from jobs.training.evaluate import Evaluation, evaluate, segment_masks
from jobs.training.gate import GateDecision, refuse
from jobs.training.gate import decide as decide_all
from jobs.training.held_out import Segment

ROWS = 4000
GATE = Gate(min_auc=0.6, max_ece=0.05, segments=("city",), min_segment_rows=500)


def scored(noise: float, *, spoil: str = "", seed: int = 1) -> Evaluation:
    """Calibrated scores with their labels; `noise` blurs them, `spoil` shuffles one city's."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.05, 0.95, ROWS)
    labels = (rng.uniform(size=ROWS) < truth).astype(np.float32)
    cities = rng.choice(np.array(["Bonn", "Graz", "Ulm"], dtype=object), ROWS, p=[0.6, 0.3, 0.1])
    mine = np.random.default_rng(seed)
    scores = np.clip(truth + mine.normal(0, noise, ROWS), 0.01, 0.99).astype(np.float32)
    scores[cities == spoil] = mine.permutation(scores[cities == spoil])
    return evaluate(
        labels, scores, base_rate=0.5, segments={"city": Segment.of(cities)}, min_segment_rows=500
    )


GOOD = scored(0.01)


def decide(gate: Gate, challenger: Evaluation, champion: Evaluation | None) -> GateDecision:
    """Return the decision on a single label."""
    return decide_all(gate, {"click": challenger}, {"click": champion} if champion else None)


def test_a_first_model_passes_on_the_absolute_limits_alone() -> None:
    decision = decide(GATE, GOOD, None)
    assert decision.passed
    assert decision.reasons == ()
    assert "There is no champion to compare with." in decision.notes
    assert any(note.startswith("AUC 0.8") and "min_auc=0.6" in note for note in decision.notes)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (replace(GATE, min_auc=0.99), r"AUC 0\.8\d+ \(95 % interval .*\) breaks .* min_auc=0.99"),
        (replace(GATE, max_ece=0.0001), r"Calibration error 0\.\d+ breaks .* max_ece=0.0001"),
    ],
)
def test_an_absolute_limit_refuses(gate: Gate, reason: str) -> None:
    decision = decide(gate, GOOD, None)
    assert not decision.passed
    assert len(decision.reasons) == 1
    assert re.search(reason, decision.reasons[0])


def test_an_equal_challenger_passes() -> None:
    decision = decide(GATE, GOOD, scored(0.01))
    assert decision.passed
    assert any("2 segments of 500 rows and more" in note for note in decision.notes)


def test_a_challenger_worse_beyond_doubt_is_refused() -> None:
    decision = decide(replace(GATE, max_ece=1.0, segments=()), scored(0.5), GOOD)
    assert not decision.passed
    (reason,) = decision.reasons
    assert reason.startswith("AUC is 0.6353, the champion's 0.8147 on the same 4000 rows")
    assert reason.endswith("beyond doubt below -0.002 (max_auc_drop).")


def test_a_worse_challenger_passes_while_the_difference_may_be_chance() -> None:
    worse, drop = scored(0.05, seed=2), GOOD.auc.value - scored(0.05, seed=2).auc.value
    assert drop > 0
    assert decide(replace(GATE, max_auc_drop=drop, max_ece=1.0), worse, GOOD).passed


def test_a_drop_in_one_large_segment_is_refused_and_named() -> None:
    decision = decide(
        replace(GATE, max_auc_drop=1.0, max_ece=1.0), scored(0.01, spoil="Graz"), GOOD
    )
    assert not decision.passed
    (reason,) = decision.reasons
    assert reason.startswith("Where city=Graz (")


def test_a_segment_too_small_to_judge_is_left_out() -> None:
    gate = replace(GATE, max_auc_drop=1.0, max_ece=1.0)
    assert decide(gate, scored(0.01, spoil="Ulm"), GOOD).passed
    assert [value for _, value, _ in segment_masks(GOOD.segment_values, 500)] == ["Bonn", "Graz"]


def test_rows_too_few_to_tell_are_refused() -> None:
    labels = np.array([0, 0, 1], np.float32)
    one = evaluate(labels, np.array([0.1, 0.2, 0.9], np.float32), base_rate=0.3)
    decision = decide(Gate(max_ece=1.0), one, one)
    assert not decision.passed
    assert "too few rows" in decision.reasons[0]


def test_two_models_on_different_rows_are_never_compared() -> None:
    other = evaluate(1 - GOOD.labels, GOOD.scores, base_rate=0.5)
    with pytest.raises(ValueError, match="different rows"):
        decide(GATE, GOOD, other)


def test_of_several_labels_each_must_pass_or_the_one_that_is_named() -> None:
    champion = {"click": GOOD, "order": GOOD}
    mixed = {"click": scored(0.01), "order": scored(0.5)}
    strict = replace(GATE, max_ece=1.0, segments=())
    refused = decide_all(strict, mixed, champion)
    assert not refused.passed
    (reason,) = refused.reasons
    assert reason.startswith("Label order: AUC is 0.6353, the champion's 0.8147")
    assert any(note.startswith("Label click: AUC is ") for note in refused.notes)
    assert decide_all(replace(strict, label="click"), mixed, champion).passed
    assert not decide_all(replace(strict, label="order"), mixed, champion).passed
    assert decide_all(strict, champion, champion).passed


def test_a_refusal_outside_the_numbers_says_why() -> None:
    assert (refuse("No days.").passed, refuse("No days.").reasons) == (False, ("No days.",))


def test_the_baseline_predicts_the_base_rate_of_training() -> None:
    labels = np.array([0, 0, 0, 1], np.float32)
    found = evaluate(labels, np.array([0.1, 0.2, 0.3, 0.9], np.float32), base_rate=0.25)
    assert found.baseline_logloss == pytest.approx(0.5623, abs=1e-4)
    assert found.metrics()["auc"] == 1.0
