"""Self-attention over the fields of a row.

Legend: B batch, F fields, I input width, A output width, H heads, W width per head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.linear import linear


class FieldAttention(nn.Module):
    """relu(heads of softmax(q k / sqrt(W)) v + W_res x) (AutoInt, Song et al. 2019, eq. 5-8)."""

    def __init__(
        self, inputs: int, outputs: int, heads: int, *, layer_norm: bool, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.outputs = heads, outputs
        self.scale = float(outputs // heads) ** -0.5
        # Queries, keys and values in one product; the residual in another.
        self.project = linear(inputs, 3 * outputs, bias=False)
        self.residual = linear(inputs, outputs, bias=False)
        self.norm = nn.LayerNorm(outputs) if layer_norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BFI: Tensor) -> Tensor:
        """Return (B, F, A)."""
        rows, fields = x_BFI.shape[:2]
        split = self.project(x_BFI).reshape(rows, fields, 3, self.heads, -1)
        q_BHFW, k_BHFW, v_BHFW = split.permute(2, 0, 3, 1, 4).unbind(0)
        weights_BHFF = torch.softmax(q_BHFW @ k_BHFW.transpose(2, 3) * self.scale, -1)
        mixed_BHFW = self.dropout(weights_BHFF) @ v_BHFW
        mixed_BFA = mixed_BHFW.transpose(1, 2).reshape(rows, fields, self.outputs)
        attended_BFA: Tensor = self.norm(torch.relu(mixed_BFA + self.residual(x_BFI)))
        return attended_BFA
