"""What training minimises where a row may lack some of the labels.

Legend: B batch, T labels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_cross_entropy(
    logits_BT: Tensor, labels_BT: Tensor, targets_BT: Tensor | None = None
) -> Tensor:
    """Return the binary cross-entropy, a scalar: of each label its mean, and of these the mean.

    A label's mean is over the rows that have it, so that what one label lacks changes nothing of
    another. One that no row of the batch has counts as 0.

    Args:
        logits_BT: (B, T) float32.
        labels_BT: (B, T) float32, 0 or 1; NaN where a row has no such label.
        targets_BT: (B, T) float32 in 0..1, what is learned instead of the labels from the rows that
            have them; None: the labels.
    """
    has_label = ~torch.isnan(labels_BT)
    targets = torch.where(has_label, labels_BT if targets_BT is None else targets_BT, 0.0)
    losses_BT = F.binary_cross_entropy_with_logits(logits_BT, targets, reduction="none")
    sums = torch.where(has_label, losses_BT, 0.0).sum(0)
    return (sums / has_label.sum(0).clamp(min=1)).mean()
