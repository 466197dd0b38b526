"""What speaks against a night once its labels are known: limits, and bands of the nights before.

Every limit leaves room for chance (`jobs.report.realised.Z`), so that a night of few rows is not
blamed for being small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, sqrt
from statistics import median
from typing import TYPE_CHECKING, Literal

from jobs.report.realised import Quality, Segment, Z

if TYPE_CHECKING:
    from feature_store.definition import Gate

Kind = Literal["order", "base rate", "calibration", "AUC", "segment", "band"]

MIN_NIGHTS = 10
"""Labelled nights that a band is learned from at least: of fewer, the spread is a guess."""
MOST_NIGHTS = 28
"""And at most: what was usual longer ago than four weeks may not be any more."""
BAND_WIDTH = 4.0
"""Spreads on either side. The spread of ten nights is itself uncertain by a quarter: with three,
one clean night in fifty would lie outside."""
AUC_BELOW_EVALUATION = 0.1
"""Until a band is learned, an AUC this far below the evaluation's is worth a look. Rows of one
night are more alike than those of months, and so harder to put in order."""
Z_SEGMENT = 4.0
"""As `Z`, of one among dozens of segments: all of them together err once in a thousand nights."""
_MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """Where a number of the last nights lay."""

    center: float
    """Their median."""
    spread: float
    """Their standard deviation, from the median of the distances: one bad night widens nothing."""
    nights: int

    def low(self, deviation: float) -> float:
        """Return the least that is usual, for a number with this standard error."""
        return self.center - BAND_WIDTH * max(self.spread, deviation)

    def high(self, deviation: float) -> float:
        """Return the most that is usual, for a number with this standard error."""
        return self.center + BAND_WIDTH * max(self.spread, deviation)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the scores of one label are held against."""

    max_ece: float
    """The gate's."""
    min_auc: float
    """The gate's."""
    evaluated_auc: float = float("nan")
    """AUC of the model when it was trained; NaN where nobody knows."""
    bands: Mapping[str, Band] = field(default_factory=dict)
    """By number: `AUC`, `skill` and `calibration error`; none before ten labelled nights."""


def gate_limits(gate: Gate, label: str) -> Limits:
    """Return the limits of the gate: none, for a label that it does not judge."""
    if not gate.judges(label):
        return Limits(max_ece=float("inf"), min_auc=0.0)
    return Limits(max_ece=gate.max_ece, min_auc=gate.min_auc)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that speaks against scores whose labels are known."""

    kind: Kind
    sentence: str

    @property
    def is_grave(self) -> bool:
        """Whether it breaks a limit, and does not only lie outside of what is usual."""
        return self.kind not in ("band", "segment")


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """Several nights as one: what each is too small to say, they may say together."""

    nights: int
    rows: int
    excess: float
    excess_beyond_doubt: float


def learned(past: Sequence[Quality]) -> dict[str, Band]:
    """Return the bands of the last nights, oldest first; nothing of fewer than `MIN_NIGHTS`."""
    numbers: dict[str, Callable[[Quality], float]] = {
        "AUC": lambda q: q.auc if q.has_order else float("nan"),
        "skill": lambda q: q.skill if q.has_order else float("nan"),
        "calibration error": lambda q: q.ece,
    }
    found = {}
    for name, number in numbers.items():
        values = [value for value in map(number, past) if not isnan(value)][-MOST_NIGHTS:]
        if len(values) >= MIN_NIGHTS:
            center = median(values)
            spread = _MAD_TO_DEVIATION * median(abs(value - center) for value in values)
            found[name] = Band(center=center, spread=spread, nights=len(values))
    return found


def faults(quality: Quality, limits: Limits) -> list[Fault]:
    """Return what speaks against scores, the gravest first; nothing where they are as they should.

    Args:
        quality: of the scores whose labels are known.
        limits: the pipeline's own, and the bands of nights before.
    """
    found = [*_order(quality), *_base_rate(quality), *_calibration(quality, limits)]
    if not any(fault.kind == "order" for fault in found):
        found += _auc(quality, limits)
    return [*found, *_outside(quality, limits)]


def segment_faults(segments: Sequence[Segment]) -> list[Fault]:
    """Return the segments in which the scores lose by the segment's own base rate, worst first."""
    worse = [s for s in segments if s.quality.excess_beyond_doubt(Z_SEGMENT) > 0]
    worse.sort(key=lambda s: -s.quality.excess * s.quality.rows)
    if not worse:
        return []
    worst = worse[0].quality
    others = ", ".join(f"{s.column}={s.value}" for s in worse[1:4])
    sentence = (
        f"Where {worse[0].column}={worse[0].value} ({worst.rows:,} rows) logloss "
        f"{worst.logloss:.3f} is worse than the {worst.base_logloss:.3f} of giving each of these "
        f"rows their base rate, {worst.base_rate:.1%}; their mean score is {worst.mean_score:.3f}."
    )
    if others:
        more = f" and {len(worse) - 4} more" if len(worse) > 4 else ""
        sentence += f" So it is where {others}{more}."
    return [Fault(kind="segment", sentence=sentence)]


def together(nights: Sequence[Quality]) -> Together | None:
    """Return the logloss of several nights against the base rate of each; None of no night."""
    rows = sum(night.rows for night in nights)
    known = [night for night in nights if not isnan(night.excess_deviation)]
    if not known:
        return None
    excess = sum(night.rows * night.excess for night in known) / rows
    deviation = sqrt(sum((night.rows * night.excess_deviation) ** 2 for night in known)) / rows
    # Each night's base rate was fitted to it: one chi-squared a night, with mean 1 and variance 2.
    fitted = (len(known) + Z * sqrt(2 * len(known)) + Z * Z) / (2 * rows)
    return Together(
        nights=len(known),
        rows=rows,
        excess=excess,
        excess_beyond_doubt=excess - Z * deviation - fitted,
    )


def _order(q: Quality) -> list[Fault]:
    if q.auc_at_most >= 0.5:
        return []
    sentence = (
        f"AUC {q.auc:.3f} is below .5 beyond doubt: high scores came true less often than low ones."
    )
    return [Fault(kind="order", sentence=sentence)]


def _base_rate(q: Quality) -> list[Fault]:
    if not q.excess_beyond_doubt() > 0:
        return []
    sentence = (
        f"Logloss {q.logloss:.3f} is worse than the {q.base_logloss:.3f} of giving every row the "
        f"night's own base rate, {q.base_rate:.1%}."
    )
    return [Fault(kind="base rate", sentence=sentence)]


def _calibration(q: Quality, limits: Limits) -> list[Fault]:
    beyond = q.ece_beyond_doubt
    if not beyond > limits.max_ece:
        return []
    sentence = (
        f"Calibration error {q.ece:.3f} breaks the limit max_ece={limits.max_ece:g}; at least "
        f"{beyond:.3f} of it is not chance. The mean score is {q.mean_score:.3f}, and "
        f"{q.base_rate:.1%} came true."
    )
    return [Fault(kind="calibration", sentence=sentence)]


def _auc(q: Quality, limits: Limits) -> list[Fault]:
    at_most = q.auc_at_most
    if at_most < limits.min_auc:
        sentence = f"AUC {q.auc:.3f} is below the limit min_auc={limits.min_auc:g} beyond doubt."
        return [Fault(kind="AUC", sentence=sentence)]
    expected = limits.evaluated_auc - AUC_BELOW_EVALUATION
    if "AUC" not in limits.bands and at_most < expected:
        sentence = (
            f"AUC {q.auc:.3f} is far below the {limits.evaluated_auc:.3f} that the model had when "
            "it was trained."
        )
        return [Fault(kind="band", sentence=sentence)]
    return []


def _outside(q: Quality, limits: Limits) -> list[Fault]:
    auc_deviation = (q.auc_high - q.auc_low) / (2 * 1.96)
    skill_deviation = q.excess_deviation / q.base_logloss if q.base_logloss > 0 else float("nan")
    lows = (("AUC", q.auc, auc_deviation), ("skill", q.skill, skill_deviation))
    found = []
    for name, value, deviation in lows:
        band = limits.bands.get(name) if q.has_order else None
        if band is not None and value < band.low(deviation):
            found.append(_left(name, value, f"at least {band.low(deviation):.3f}", band))
    band = limits.bands.get("calibration error")
    if band is not None and q.ece > band.high(q.ece_deviation):
        usual = f"at most {band.high(q.ece_deviation):.3f}"
        found.append(_left("calibration error", q.ece, usual, band))
    return found


def _left(name: str, value: float, usual: str, band: Band) -> Fault:
    meant = "the part of the base rate's logloss that is saved" if name == "skill" else name
    sentence = (
        f"{meant[0].upper()}{meant[1:]} is {value:.3f}: by the {band.nights} labelled nights "
        f"before, {usual} is usual (median {band.center:.3f})."
    )
    return Fault(kind="band", sentence=sentence)
