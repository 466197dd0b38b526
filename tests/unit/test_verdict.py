"""Promises of the verdict: green means that nothing known speaks against it, and chance is none."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from feature_store.definition import Gate
from feature_store.schema import EVENTS, QUARANTINE
from feature_store.tables.inputs import Inputs, Pin
from jobs.report.bands import (
    BAND_WIDTH,
    MIN_NIGHTS,
    Limits,
    faults,
    learned,
    segment_faults,
    together,
)
from jobs.report.realised import Realised, quality_of, realised
from jobs.report.verdict import judge
from tests.nights import (
    NIGHT,
    check,
    facts,
    found,
    labelled,
    publication,
    record,
    scored,
    scores_against,
)
from tests.toy import Row, toy_definition

GATE = Limits(max_ece=0.05, min_auc=0.6)


def kinds(one: Realised, limits: Limits = GATE) -> list[str]:
    return [fault.kind for fault in faults(one.quality, limits)]


# What labels say of a night


def test_scores_that_are_true_have_no_fault() -> None:
    assert kinds(found()) == []


def test_scores_far_too_high_lose_by_the_base_rate_and_are_miscalibrated() -> None:
    assert kinds(found(shift=2.0)) == ["base rate", "calibration"]


def test_a_turned_order_is_the_first_fault_named() -> None:
    assert kinds(found(sign=-1.0))[0] == "order"


def test_an_order_that_means_nothing_breaks_the_least_auc() -> None:
    labels, scores = scored(3, rows=5000)
    shuffled = realised(labels, np.random.default_rng(0).permutation(scores))
    assert "AUC" in kinds(shuffled)
    assert "AUC" not in kinds(shuffled, replace(GATE, min_auc=0.4))


def test_an_auc_far_below_the_evaluations_is_worth_a_look_while_no_band_is_learned() -> None:
    one = found(rows=5000)  # AUC about .73
    assert kinds(one, replace(GATE, evaluated_auc=0.75)) == []
    assert kinds(one, replace(GATE, evaluated_auc=0.9)) == ["band"]


@pytest.mark.parametrize("rows", [1, 5, 30])
def test_a_few_rows_are_no_verdict(rows: int) -> None:
    for seed in range(100):
        assert kinds(found(seed, rows=rows), replace(GATE, evaluated_auc=0.73)) == []


def test_every_sentence_of_a_fault_gives_the_numbers_and_the_limit() -> None:
    first, second = faults(found(shift=2.0).quality, GATE)
    q = found(shift=2.0).quality
    assert f"{q.logloss:.3f}" in first.sentence
    assert f"{q.base_logloss:.3f}" in first.sentence
    assert f"{q.ece:.3f} breaks the limit max_ece=0.05" in second.sentence


def by_group(spoilt: int | None, seed: int = 5) -> Realised:
    """Eight carriers; of one of them nearly every row came true, whatever was said."""
    labels, scores = scored(seed, rows=1600)
    group = np.arange(1600) % 8
    if spoilt is not None:
        labels = np.where((group == spoilt) & (np.arange(1600) % 5 > 0), 1.0, labels)
    return realised(labels, scores, {"carrier": np.array([f"c{g}" for g in group], dtype=object)})


def test_the_guilty_segment_is_named_although_the_whole_night_is_within_its_limits() -> None:
    one = by_group(spoilt=3)
    lenient = Gate(max_ece=0.5)
    of = facts(replace(toy_definition([Row(day=0, user="u", item="i")]), gate=lenient))
    verdict = judge(replace(of, labelled=labelled(one)))
    assert verdict.level == "look"
    assert verdict.reasons[0].startswith("Where carrier=c3 (200 rows) logloss")


def test_segments_of_clean_nights_raise_next_to_no_alarm() -> None:
    assert sum(bool(segment_faults(by_group(None, seed).segments)) for seed in range(200)) <= 1


# Bands


def test_a_band_is_learned_of_enough_nights_and_one_bad_night_widens_nothing() -> None:
    past = [found(seed).quality for seed in range(MIN_NIGHTS)]
    assert learned(past[:-1]) == {}
    bands = learned(past)
    assert set(bands) == {"AUC", "skill", "calibration error"}
    spoilt = learned([*past, found(99, shift=3.0).quality])
    assert spoilt["skill"].spread < 3 * bands["skill"].spread + 0.01


def test_a_night_outside_of_what_is_usual_is_named_with_what_is() -> None:
    past = [found(seed).quality for seed in range(MIN_NIGHTS)]
    limits = Limits(max_ece=1.0, min_auc=0.0, bands=learned(past))
    assert kinds(found(50), limits) == []
    (first, *_) = faults(found(51, shift=1.2).quality, limits)
    assert first.kind == "band"
    assert f"by the {MIN_NIGHTS} labelled nights before" in first.sentence


def test_clean_nights_seldom_leave_their_band() -> None:
    nights = [found(seed, rows=300).quality for seed in range(340)]
    outside = 0
    for i in range(28, len(nights)):
        limits = Limits(max_ece=0.05, min_auc=0.5, bands=learned(nights[i - 28 : i]))
        outside += bool(faults(nights[i], limits))
    assert outside <= 3, f"{outside} of {len(nights) - 28} clean nights raised an alarm"


def test_what_no_night_is_large_enough_to_say_they_say_together() -> None:
    small = [found(seed, rows=60, shift=1.4).quality for seed in range(7)]
    assert not any(q.excess_beyond_doubt() > 0 for q in small)
    several = together(small)
    assert several is not None
    assert several.excess_beyond_doubt > 0
    clean = [found(seed, rows=60).quality for seed in range(7)]
    assert together(clean).excess_beyond_doubt < 0  # type: ignore[union-attr]
    assert together([]) is None


def test_the_width_of_a_band_is_of_the_wider_of_spread_and_own_chance() -> None:
    band = learned([found(seed).quality for seed in range(12)])["AUC"]
    assert band.low(0.0) == pytest.approx(band.center - BAND_WIDTH * band.spread)
    assert band.low(0.5) == pytest.approx(band.center - BAND_WIDTH * 0.5)


# One verdict


def test_a_good_night_is_green_and_says_what_is_not_known() -> None:
    verdict = judge(facts())
    assert (verdict.level, verdict.title) == ("good", "Published")
    assert "no label of this night is there yet" in verdict.unknown[0]
    assert any("no night before it is published" in text for text in verdict.unknown)


def test_a_night_whose_labels_speak_for_it_says_so() -> None:
    verdict = judge(facts(labelled=labelled(found())))
    assert verdict.level == "good"
    assert "nothing in them speaks against the scores" in verdict.reasons[-1]


def test_a_badly_calibrated_night_is_not_green_once_its_labels_are_known() -> None:
    bad = labelled(found(shift=2.0))
    verdict = judge(facts(labelled=bad))
    assert verdict.level == "look"
    assert verdict.reasons[0].startswith("Logloss")
    assert verdict.because[0].href == "#realised"
    assert verdict.reasons[-1].startswith("900 scores of run")


def test_labels_of_which_some_come_later_judge_nothing_and_are_counted() -> None:
    verdict = judge(facts(labelled=labelled(found(shift=2.0), later=7)))
    assert verdict.level == "good"
    assert "7 labels of this night become known later, the first at 2026-03-12 04:00" in " ".join(
        verdict.unknown
    )


def test_a_night_without_labels_is_judged_by_the_last_that_has_them() -> None:
    past = [record(3, found(2)), record(2, found(3, shift=2.0)), record(1, None)]
    verdict = judge(facts(past=past))
    assert verdict.level == "look"
    assert "1 of the last 2 labelled nights of this model was bad, 2026-03-08" in verdict.reasons[0]
    assert verdict.because[0].href == "2026-03-08.html#realised"
    assert any("no labels yet: 2026-03-09" in text for text in verdict.unknown)


def test_one_bad_night_is_forgiven_by_good_ones_after_it_and_two_are_not() -> None:
    good = [record(days, found(days)) for days in (5, 4, 3, 2, 1)]
    one = [record(6, found(6, shift=2.0)), *good]
    assert judge(facts(past=one)).level == "good"
    assert judge(facts(past=[record(7, found(7, shift=2.0)), *one])).level == "look"


def test_bad_nights_of_another_model_say_nothing_of_this_one() -> None:
    past = [record(days, found(days, shift=2.0), version=1) for days in (2, 1)]
    verdict = judge(facts(past=past, publications=[publication(version=2)]))
    assert verdict.level == "good"
    assert "No night of lr version 2 has labels." in verdict.unknown


def test_small_nights_that_are_bad_together_turn_tonight_yellow() -> None:
    lenient = replace(
        toy_definition([Row(day=0, user="u", item="i")]), gate=Gate(max_ece=0.5, min_auc=0.0)
    )
    past = [record(8 - i, found(i, rows=60, shift=1.4)) for i in range(7)]
    verdict = judge(facts(lenient, past=past))
    assert verdict.level == "look"
    assert "The last 7 labelled nights of this model together are worse" in verdict.reasons[0]


def test_that_no_night_before_has_labels_is_said() -> None:
    verdict = judge(facts(past=[record(days, None) for days in range(7, 0, -1)]))
    said = "Labels of the last 7 published nights (2026-03-03 to 2026-03-09) are not there."
    assert said in verdict.unknown


def test_a_label_that_the_gate_does_not_judge_is_held_to_its_order_and_base_rate_only() -> None:
    definition = toy_definition([Row(day=0, user="u", item="i")])
    other = replace(definition, gate=Gate(max_ece=0.9))
    bad = labelled(found(shift=0.9))
    assert judge(facts(definition, labelled=bad)).level == "look"
    assert judge(facts(other, labelled=bad)).level == "good"


def test_a_failed_attempt_weighs_most_then_labels_then_a_warning() -> None:
    verdict = judge(
        facts(
            failure="disk full",
            labelled=labelled(found(shift=2.0)),
            checks=(check("between(price)", severity="warn"), check("ok", passed=True)),
        )
    )
    begin = [reason.split(":")[0].split(" ")[0] for reason in verdict.reasons]
    assert begin == ["The", "Logloss", "Calibration", "Not", "900"]
    weights = [reason.weight for reason in verdict.because]
    assert weights == sorted(weights, reverse=True)
    assert "1 of 2 checks failed: between(price)" in verdict.reasons[3]


def test_a_check_that_only_warns_leaves_the_night_published_and_not_green() -> None:
    verdict = judge(facts(checks=(check("between(price)", severity="warn"),)))
    assert (verdict.level, verdict.because[0].href) == ("look", "#checks")


def test_what_is_not_published_is_blocked_failed_or_was_not_run() -> None:
    def of(**changes: Any) -> tuple[str, str]:
        verdict = judge(facts(publications=[], **changes))
        return verdict.level, verdict.reasons[0]

    level, reason = of(checks=(check("between(price)"),), failure="1 of the checks failed")
    assert (level, reason.split(":")[0]) == ("blocked", "1 of 1 checks failed")
    assert of(failure="no space left") == ("failed", "no space left")
    assert of(refusal="a header only")[0] == "blocked"
    assert of()[0] == "not run"
    # A check that warned stopped nothing: what did stop the night is said.
    assert of(checks=(check("x", severity="warn"),), failure="no space left")[0] == "failed"


@pytest.mark.parametrize("rate", [0.001, 0.3])
def test_scores_that_lie_elsewhere_are_a_reason_however_rare_the_event(rate: float) -> None:
    nights = [scored(seed, rows=2000, rate=rate)[1] for seed in range(8)]
    same = facts(scores=(scores_against(nights[7], nights[:7]),))
    assert judge(same).level == "good"
    for moved in (2 * nights[7], np.full(2000, nights[7].mean()), nights[7] / 3):
        verdict = judge(facts(scores=(scores_against(np.minimum(moved, 1.0), nights[:7]),)))
        assert (verdict.level, verdict.because[0].href) == ("look", "#scores")


def commit(rows: int, digest: str = "c") -> Any:
    inputs = Inputs(definition="d", code="1", source=digest, pins={})
    return SimpleNamespace(rows=rows, inputs=inputs, foreign=(), content={}, version=1)


@pytest.mark.parametrize(
    ("bad", "usual", "level"),
    [(600, 0, "look"), (40, 0, "look"), (40, 38, "good"), (2, 0, "good"), (0, 0, "good")],
)
def test_far_more_quarantine_than_usual_or_near_the_ceiling_is_a_reason(
    bad: int, usual: int, level: str
) -> None:
    tables = {EVENTS: commit(1000 - bad), QUARANTINE: commit(bad)}
    reasons = {"range(price)": bad, "superseded": 300} if bad else {}
    past = [record(d, None, read_rows=1000, bad_rows=usual) for d in range(8, 0, -1)]
    verdict = judge(facts(commits=tables, reasons=reasons, past=past))
    assert verdict.level == level
    assert (verdict.because[0].href == "#rows") == (level == "look")


def test_a_night_whose_features_changed_since_is_stale_and_nothing_worse() -> None:
    pins = {"features": (Pin(ds=NIGHT, version=0, digest="old", table_id="t"),)}
    made_of = Inputs(definition="d", code="1", source="", pins=pins).to_json()
    changed = {"features": commit(20)}
    stale = facts(publications=[publication(inputs=made_of)], commits=changed)
    assert judge(stale).level == "stale"
    both = replace(stale, labelled=labelled(found(shift=2.0)))
    assert judge(both).level == "look"


def test_three_hundred_clean_nights_raise_next_to_no_alarm() -> None:
    """As they come: each night is judged without labels first, and again once it has them."""
    past: list[Any] = []
    alarms = 0
    first = date(2026, 1, 1)
    for i in range(300):
        rows = (60, 300, 900)[i % 3]
        one = found(1000 + i, rows=rows)
        day = first + timedelta(days=i)
        tonight = facts(past=past[-40:], ds=day, publications=[publication(day)])
        alarms += judge(tonight).level != "good"
        alarms += judge(replace(tonight, labelled=labelled(one))).level != "good"
        past.append(replace(record(0, one), ds=day))
    assert alarms <= 3, f"{alarms} alarms over 300 clean nights"


def test_quality_of_one_class_or_one_row_is_told_and_never_crashes() -> None:
    one = quality_of(np.array([1.0]), np.array([0.9]))
    assert math.isnan(one.auc)
    assert faults(one, GATE) == []
    same = quality_of(np.zeros(30), np.full(30, 0.1))
    assert math.isnan(same.auc)
    assert faults(same, GATE) == []
