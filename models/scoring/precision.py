"""Lower precision, only through a guard that measures on held-out rows what it does.

bf16 keeps float32's range with 8 bits of mantissa. Only the linear layers use it (1.7 times the
rows/s of DCNv2 on an AVX-512 bf16 CPU); tables, interactions and the last layer stay float32: a
score that leaves a layer in bf16 is one of a few dozen, and most rows are equals.

Legend: H held-out rows, K categorical, N numeric, T labels, I inputs, O outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import metrics
from models.errors import InputInvalid, PrecisionRefused
from models.ranker import Ranker

Precision = Literal["f32", "bf16"]
FEWEST_ROWS = 100


HeldOut = Callable[[], Iterable[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]]
"""Gives rows the model was not trained on, in parts: keys (H, K), values (H, N) and labels (H, T),
0 or 1, NaN where a row has none. What the guard measures with, label by label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionBounds:
    """The most a lower precision may change, on the held-out rows."""

    auc: float = 2e-4
    logloss: float = 5e-4
    rank: float = 1e-3
    """1 - Spearman's correlation of the two rankings."""
    score: float = 0.02
    """Any one score; also the bound on golden rows."""
    top: float = 0.05
    """Share of the highest scores' rows that are others."""
    ties: float = 0.05
    """Share of different scores that became equal to others, among the highest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionReport:
    """What a lower precision changed, on the held-out rows that have a label."""

    rows: int
    auc: float
    logloss: float
    rank: float
    score: float
    top: float
    ties: float


class LowLinear(nn.Module):
    """A linear layer in bf16 between float32 neighbours."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer).to(torch.bfloat16)

    def forward(self, x_BI: Tensor) -> Tensor:
        """Return (B, O) float32."""
        return self.layer(x_BI.to(torch.bfloat16)).float()


def lowered(ranker: Ranker, labels: int) -> Ranker:
    """Return a copy of a model of so many labels whose linear layers compute in bf16.

    Not those that give a number per label, or fewer: what they give is the score, or a term of it.
    """
    copied = copy.deepcopy(ranker)
    _lower(copied.dense, labels)
    return copied


def measure(
    labels: NDArray[np.float32], full: NDArray[np.float32], low: NDArray[np.float32], name: str
) -> PrecisionReport:
    """Return how scores `low` (H,) differ from `full` (H,), by the label `name` of these rows.

    Raises:
        InputInvalid: there are too few rows, or only one class, to measure anything.
    """
    base = metrics.auc(labels, full) if len(labels) else float("nan")
    if len(labels) < FEWEST_ROWS or np.isnan(base):
        raise InputInvalid(
            f"held-out rows with label {name!r}: {len(labels)} rows, AUC {base}: the precision "
            f"guard needs at least {FEWEST_ROWS} rows of both classes; give it more days, or keep "
            "precision f32"
        )
    ranks = [metrics.midranks(scores.astype(np.float64)) for scores in (full, low)]
    highest, still = _highest(full), _highest(low)
    distinct = [len(np.unique(scores[highest])) for scores in (full, low)]
    return PrecisionReport(
        rows=len(labels),
        auc=abs(metrics.auc(labels, low) - base),
        logloss=abs(metrics.logloss(labels, low) - metrics.logloss(labels, full)),
        rank=1.0 - float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
        score=float(np.abs(low - full).max()),
        top=1.0 - len(np.intersect1d(highest, still)) / len(highest),
        ties=max(0.0, 1.0 - distinct[1] / distinct[0]),
    )


def worst(reports: Sequence[PrecisionReport]) -> PrecisionReport:
    """Return the largest of each change, and the fewest rows that one was measured on."""
    changes = [field.name for field in fields(PrecisionReport) if field.name != "rows"]
    return PrecisionReport(
        rows=min(report.rows for report in reports),
        **{change: max(getattr(report, change) for report in reports) for change in changes},
    )


def refuse_beyond(
    report: PrecisionReport, bounds: PrecisionBounds, precision: str, name: str
) -> None:
    """Return if every change, by the label `name`, is within its bound.

    Raises:
        PrecisionRefused: one is not; the message names it.
    """
    for what in (field.name for field in fields(bounds)):
        change, bound = getattr(report, what), getattr(bounds, what)
        # NaN is beyond every bound.
        if not change <= bound:
            raise PrecisionRefused(
                f"precision {precision}: {what} changes by {change:.2g} on {report.rows} held-out "
                f"rows with label {name!r}, the bound is {bound:.2g}. Keep precision f32, or state "
                "another bound"
            )


def _highest(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rows of the highest scores: a hundredth of them, but half the fewest at least."""
    count = max(len(scores) // 100, FEWEST_ROWS // 2)
    # Of equal scores the first row comes first.
    return np.argsort(-scores, kind="stable")[:count]


def _lower(module: nn.Module, labels: int) -> None:
    for name, child in module.named_children():
        # A subclass may be asked for more than its output, such as attention's for its weight.
        if type(child) is nn.Linear and child.out_features > labels:
            setattr(module, name, LowLinear(child))
        else:
            _lower(child, labels)
