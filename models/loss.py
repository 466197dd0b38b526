"""What training minimises where a row may lack some of the labels, and count as several.

Legend: B batch, T labels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_cross_entropy(
    logits_BT: Tensor,
    labels_BT: Tensor,
    targets_BT: Tensor | None = None,
    *,
    weights_B: Tensor,
) -> Tensor:
    """Return the binary cross-entropy, a scalar: of each label its mean, and of these the mean.

    A label's mean is over the rows that have it, each counted as many times as its weight says, so
    that what one label lacks changes nothing of another. One that no row of the batch has counts as
    0.

    Args:
        logits_BT: (B, T) float32.
        labels_BT: (B, T) float32, 0 or 1; NaN where a row has no such label.
        weights_B: (B,) float32, above 0: how many rows of the whole each row stands for.
        targets_BT: (B, T) float32 in 0..1, what is learned instead of the labels from the rows that
            have them; None: the labels.
    """
    has_label = ~torch.isnan(labels_BT)
    targets = torch.where(has_label, labels_BT if targets_BT is None else targets_BT, 0.0)
    losses_BT = F.binary_cross_entropy_with_logits(logits_BT, targets, reduction="none")
    weights_BT = torch.where(has_label, weights_B[:, None], 0.0)
    sums = torch.where(has_label, weights_BT * losses_BT, 0.0).sum(0)
    totals = weights_BT.sum(0)
    return (sums / torch.where(totals > 0, totals, 1.0)).mean()
