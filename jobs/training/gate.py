"""May a challenger become champion? A pure decision over evaluations of the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jobs.training.evaluate import Interval, segment_masks
from models import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from feature_store.definition import Gate
    from jobs.training.evaluate import Evaluation, Evaluations


@dataclass(frozen=True, kw_only=True, slots=True)
class GateDecision:
    """Whether a challenger passed, and in sentences what was found."""

    passed: bool
    reasons: tuple[str, ...]
    """Why it was refused; empty when it passed."""
    notes: tuple[str, ...]
    """What else was looked at."""


@dataclass(frozen=True, slots=True)
class _Finding:
    passed: bool
    sentence: str


def decide(
    gate: Gate,
    challenger: Evaluations,
    champion: Evaluations | None,
    *,
    no_comparison: str = "There is no champion to compare with.",
) -> GateDecision:
    """Return the decision of a gate: on one label, where it names one, else on every label.

    Against a champion a challenger is refused only for a drop beyond doubt: overall, when the whole
    95 % interval of the paired AUC difference lies below `-max_auc_drop`; in a segment, when the
    drop is larger than `max_segment_auc_drop` and its interval lies below zero.

    Args:
        gate: the limits.
        challenger: of the new model, by label.
        champion: of the promoted model on the same rows; None when there is nothing to compare.
        no_comparison: the sentence that says why there is nothing to compare.

    Raises:
        ValueError: two evaluations of a label are of different rows.
    """
    findings = []
    for name in [gate.label] if gate.label else challenger:
        found = _of_label(gate, challenger[name], champion[name] if champion else None)
        # Of a single label everybody knows which is meant.
        where = "" if len(challenger) == 1 else f"Label {name}: "
        findings += [_Finding(one.passed, f"{where}{one.sentence}") for one in found]
    if champion is None:
        findings.append(_Finding(True, no_comparison))
    return GateDecision(
        passed=all(finding.passed for finding in findings),
        reasons=tuple(f.sentence for f in findings if not f.passed),
        notes=tuple(f.sentence for f in findings if f.passed),
    )


def refuse(*reasons: str) -> GateDecision:
    """Return a refusal for reasons outside the numbers."""
    return GateDecision(passed=False, reasons=reasons, notes=())


def _of_label(gate: Gate, challenger: Evaluation, champion: Evaluation | None) -> list[_Finding]:
    findings = _absolute(gate, challenger)
    if champion is not None:
        if not np.array_equal(challenger.labels, champion.labels):
            raise ValueError("the challenger and the champion were evaluated on different rows")
        findings.append(_overall(gate, challenger, champion))
        findings += _segments(gate, challenger, champion)
    return findings


def _absolute(gate: Gate, challenger: Evaluation) -> list[_Finding]:
    # Written so that a NaN is refused.
    ranks, calibrated = challenger.auc.value >= gate.min_auc, challenger.ece <= gate.max_ece
    baseline = (
        f"Logloss is {challenger.logloss:.4f} on {challenger.rows} held-out rows; always "
        f"predicting the base rate gives {challenger.baseline_logloss:.4f}."
    )
    return [
        _Finding(ranks, _limit("AUC", str(challenger.auc), ranks, "min_auc", gate.min_auc)),
        _Finding(
            calibrated,
            _limit(
                "Calibration error", f"{challenger.ece:.4f}", calibrated, "max_ece", gate.max_ece
            ),
        ),
        _Finding(True, baseline),
    ]


def _limit(what: str, value: str, passed: bool, name: str, limit: float) -> str:
    return f"{what} {value} {'keeps' if passed else 'breaks'} the limit {name}={limit:g}."


def _overall(gate: Gate, challenger: Evaluation, champion: Evaluation) -> _Finding:
    difference = paired_difference(challenger, champion)
    # Written so that a NaN, of rows too few to tell, is refused.
    passed = difference.high >= -gate.max_auc_drop
    verdict = "not beyond doubt" if passed else "beyond doubt"
    if np.isnan(difference.high):
        verdict = "from too few rows to say it is not"
    return _Finding(
        passed,
        f"AUC is {challenger.auc.value:.4f}, the champion's {champion.auc.value:.4f} on the same "
        f"{challenger.rows} rows: a difference of {_signed(difference)}, {verdict} below "
        f"-{gate.max_auc_drop:g} (max_auc_drop).",
    )


def _segments(gate: Gate, challenger: Evaluation, champion: Evaluation) -> list[_Finding]:
    asked = {name: challenger.segment_values[name] for name in gate.segments}
    findings, compared = [], 0
    for feature, value, mask in segment_masks(asked, gate.min_segment_rows):
        difference = paired_difference(challenger, champion, mask)
        compared += not np.isnan(difference.value)
        if difference.value < -gate.max_segment_auc_drop and difference.high < 0:
            findings.append(
                _Finding(
                    False,
                    f"Where {feature}={value} ({int(mask.sum())} rows) AUC differs from the "
                    f"champion's by {_signed(difference)}: a drop larger than "
                    f"{gate.max_segment_auc_drop:g} (max_segment_auc_drop).",
                )
            )
    if asked:
        findings.append(
            _Finding(
                True,
                f"{compared} segments of {gate.min_segment_rows} rows and more were compared "
                f"({', '.join(asked)}).",
            )
        )
    return findings


def paired_difference(
    challenger: Evaluation, champion: Evaluation, mask: NDArray[np.bool_] | None = None
) -> Interval:
    """Return AUC of the challenger less that of the champion, on the same (masked) rows.

    NaN where the rows have one class only.
    """
    rows = slice(None) if mask is None else mask
    labels = challenger.labels[rows]
    if len(np.unique(labels)) < 2:
        return Interval(value=float("nan"), low=float("nan"), high=float("nan"))
    value, low, high = metrics.paired_auc_difference(
        labels, challenger.scores[rows], champion.scores[rows]
    )
    return Interval(value=value, low=low, high=high)


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.4f} (95 % interval {interval.low:+.4f} to {interval.high:+.4f})"
