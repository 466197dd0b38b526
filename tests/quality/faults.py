"""The faults: each takes a clean night, and the one before it, and returns a spoilt one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tests.quality.nights import GROUPS, Night, score

Inject = Callable[[np.random.Generator, Night, Night], Night]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One kind of fault."""

    name: str
    inject: Inject


def _wrong_rows(rng: np.random.Generator, night: Night, _: Night) -> Night:
    return replace(night, scores=rng.permutation(night.scores))


def _yesterdays_scores(_: np.random.Generator, night: Night, before: Night) -> Night:
    return replace(night, scores=np.resize(before.scores, len(night.scores)))


def _feature_null(share: float) -> Inject:
    """A join loses what is known of a share of the rows: the model sees the mean there."""

    def inject(rng: np.random.Generator, night: Night, _: Night) -> Night:
        lost = rng.random(len(night.signal)) < share
        return replace(night, scores=score(night.group, np.where(lost, 0.0, night.signal)))

    return inject


def _unit_change(rng: np.random.Generator, night: Night, _: Night) -> Night:
    return replace(night, scores=score(night.group, 3.6 * night.signal))


def _sign_flip(rng: np.random.Generator, night: Night, _: Night) -> Night:
    return replace(night, scores=score(night.group, -night.signal))


def _renamed_category(rng: np.random.Generator, night: Night, _: Night) -> Night:
    return replace(night, scores=score((night.group + GROUPS // 2) % GROUPS, night.signal))


def _swapped_columns(rng: np.random.Generator, night: Night, _: Night) -> Night:
    """Two columns of the same kind change places: what is read says nothing of the row."""
    return replace(night, scores=score(night.group, rng.standard_normal(len(night.signal))))


def _shifted(odds: float) -> Inject:
    return lambda _, night, __: night.rescored(night.odds + odds)


def _scaled(factor: float) -> Inject:
    def inject(_: np.random.Generator, night: Night, __: Night) -> Night:
        middle = night.odds.mean()
        return night.rescored(middle + factor * (night.odds - middle))

    return inject


def _inverted(_: np.random.Generator, night: Night, __: Night) -> Night:
    return replace(night, scores=1 - night.scores)


def _inverted_around_the_mean(_: np.random.Generator, night: Night, __: Night) -> Night:
    return night.rescored(2 * night.odds.mean() - night.odds)


def _constant(value: float) -> Inject:
    return lambda _, night, __: replace(night, scores=np.full(len(night.scores), value))


def _a_part_constant(rng: np.random.Generator, night: Night, _: Night) -> Night:
    stuck = rng.random(len(night.scores)) < 0.4
    return replace(night, scores=np.where(stuck, 0.5, night.scores))


def _stale_model(_: np.random.Generator, night: Night, __: Night) -> Night:
    """What moves the outcome is another thing by now: half of the order is gone."""
    rng = np.random.default_rng(len(night.scores))
    other = 0.3 * night.signal + np.sqrt(1 - 0.3**2) * rng.standard_normal(len(night.signal))
    return replace(night, scores=score(night.group, other))


def _outage_of_a_group(_: np.random.Generator, night: Night, __: Night) -> Night:
    """One carrier stands still: all of its rows come true, and nobody could know."""
    return replace(night, labels=np.where(night.group < 2, 1.0, night.labels))


def _labels_lost(rng: np.random.Generator, night: Night, _: Night) -> Night:
    """The source forgets what came true: half of the positives arrive as negatives."""
    lost = rng.random(len(night.labels)) < 0.6
    return replace(night, labels=np.where(lost, 0.0, night.labels))


def _labels_turned(_: np.random.Generator, night: Night, __: Night) -> Night:
    return replace(night, labels=1 - night.labels)


def _labels_of_other_rows(rng: np.random.Generator, night: Night, _: Night) -> Night:
    return replace(night, labels=rng.permutation(night.labels))


def _new_regime(_: np.random.Generator, night: Night, __: Night) -> Night:
    """A storm: three times as many rows come true as ever, whatever is known of them."""
    rng = np.random.default_rng(len(night.labels) + 1)
    return replace(night, labels=np.maximum(night.labels, rng.random(len(night.labels)) < 0.4))


FAULTS = (
    Fault(name="scores joined to the wrong rows", inject=_wrong_rows),
    Fault(name="yesterday's scores published as today's", inject=_yesterdays_scores),
    Fault(name="silent join loss, all rows", inject=_feature_null(1.0)),
    Fault(name="silent join loss, half of the rows", inject=_feature_null(0.5)),
    Fault(name="unit change of a feature", inject=_unit_change),
    Fault(name="sign flip of a feature", inject=_sign_flip),
    Fault(name="categories renamed", inject=_renamed_category),
    Fault(name="two columns swapped", inject=_swapped_columns),
    Fault(name="scores far too high", inject=_shifted(1.5)),
    Fault(name="scores too high", inject=_shifted(0.8)),
    Fault(name="scores far too low", inject=_shifted(-1.5)),
    Fault(name="scores too sure", inject=_scaled(3.0)),
    Fault(name="scores too timid", inject=_scaled(0.2)),
    Fault(name="score inversion (1 - p)", inject=_inverted),
    Fault(name="order turned around, mean kept", inject=_inverted_around_the_mean),
    Fault(name="collapse to a constant", inject=_constant(0.5)),
    Fault(name="collapse to the base rate", inject=_constant(0.22)),
    Fault(name="collapse to 0", inject=_constant(0.0)),
    Fault(name="a part stuck at .5", inject=_a_part_constant),
    Fault(name="stale model", inject=_stale_model),
    Fault(name="outage of two groups of eight", inject=_outage_of_a_group),
    Fault(name="labels lost at the source", inject=_labels_lost),
    Fault(name="labels turned around", inject=_labels_turned),
    Fault(name="labels of other rows", inject=_labels_of_other_rows),
    Fault(name="another regime", inject=_new_regime),
)
