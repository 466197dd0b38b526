"""The flat input of deep networks, and the linear weights that stand beside a value's vector.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.signature import Signature


def flat_width(signature: Signature, embedding_dim: int) -> int:
    """Return how many inputs `flatten` gives."""
    return len(signature.fields) * embedding_dim + len(signature.numeric)


def flatten(fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
    """Return (B, F * E + N): every field's vector, and numeric values as they are."""
    return torch.cat([fields_BFE.flatten(1), scaled_BN], 1)


def split_wide(rows_BFE: Tensor, labels: int) -> tuple[Tensor, Tensor]:
    """Return the sum of linear weights (B, T), and the vectors (B, F, E - T).

    A table row holds a weight for each label first: one gather fetches both.
    """
    return rows_BFE[..., :labels].sum(1), rows_BFE[..., labels:]
