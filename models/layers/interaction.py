"""Pairwise and two-stream interactions.

Legend: B batch, F fields, P pairs of fields, T labels, D factors, X and Y stream widths, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.linear import linear


def pair_sum(factors_BFTD: Tensor) -> Tensor:
    """Return (B, T): the sum over all pairs of fields of their dot products, in O(F D).

    sum_{i<j} <v_i, v_j> = ((sum v)^2 - sum v^2) / 2   (Rendle 2010, lemma 3.1)
    """
    square_of_sum = factors_BFTD.sum(1).square()
    sum_of_square = factors_BFTD.square().sum(1)
    return 0.5 * (square_of_sum - sum_of_square).sum(-1)


class Pairs(nn.Module):
    """The pairs of fields i < j, P = F (F - 1) / 2 of them."""

    left: Tensor
    right: Tensor

    def __init__(self, fields: int) -> None:
        super().__init__()
        left, right = torch.triu_indices(fields, fields, offset=1)
        self.register_buffer("left", left.clone(), persistent=False)
        self.register_buffer("right", right.clone(), persistent=False)
        self.count = len(left)

    def forward(self, fields_BFD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first and the second of each pair, both (B, P, D)."""
        return fields_BFD[:, self.left], fields_BFD[:, self.right]


def inner_products(fields_BFD: Tensor, pairs: Pairs) -> Tensor:
    """Return (B, P): the dot product of each pair of fields, by one product of matrices."""
    products_BFF = torch.bmm(fields_BFD, fields_BFD.transpose(1, 2))
    return products_BFF[:, pairs.left, pairs.right]


class BilinearPairs(nn.Module):
    """(W v_i) * v_j for each pair i < j (FiBiNET, Huang et al. 2019, eq. 6 and 7)."""

    def __init__(self, fields: int, width: int, *, per_field: bool) -> None:
        super().__init__()
        self.pairs = Pairs(fields)
        # One matrix for all fields, or one for each.
        self.matrix = nn.Parameter(torch.empty(fields if per_field else 1, width, width))
        for matrix in self.matrix:
            nn.init.xavier_normal_(matrix)

    def forward(self, fields_BFD: Tensor) -> Tensor:
        """Return (B, P, D)."""
        turned_BFD = torch.matmul(fields_BFD.unsqueeze(2), self.matrix).squeeze(2)
        return turned_BFD[:, self.pairs.left] * fields_BFD[:, self.pairs.right]


class BilinearFusion(nn.Module):
    """w_x x + w_y y + b + sum over heads of x_h^T W_h y_h (FinalMLP, Mao et al. 2023, eq. 9-11)."""

    def __init__(self, x_width: int, y_width: int, heads: int, outputs: int) -> None:
        super().__init__()
        self.heads, self.outputs = heads, outputs
        self.x_linear = linear(x_width, outputs)
        self.y_linear = linear(y_width, outputs)
        self.x_head, self.y_head = x_width // heads, y_width // heads
        self.bilinear = nn.Parameter(torch.empty(heads, self.x_head, outputs * self.y_head))
        nn.init.xavier_normal_(self.bilinear)

    def forward(self, x_BX: Tensor, y_BY: Tensor) -> Tensor:
        """Return logits (B, T)."""
        rows, heads, outputs = x_BX.shape[0], self.heads, self.outputs
        x_HBX = x_BX.reshape(rows, heads, self.x_head).transpose(0, 1)
        mixed_BHO = torch.bmm(x_HBX, self.bilinear).transpose(0, 1)
        mixed_BHTY = mixed_BHO.reshape(rows, heads, outputs, self.y_head)
        y_BH1Y = y_BY.reshape(rows, heads, 1, self.y_head)
        fused_BT = (mixed_BHTY * y_BH1Y).sum((1, 3))
        return self.x_linear(x_BX) + self.y_linear(y_BY) + fused_BT
