"""Cross networks: explicit interactions, one order more with each layer.

Legend: B batch, D flat inputs, F fields, E embedding width, M maps, O all maps, X experts, R rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.linear import linear


class CrossNetwork(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l (DCN V2, Wang et al. 2021, eq. 1)."""

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(inputs, inputs) for _ in range(layers))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return (B, D)."""
        crossed = x_BD
        for layer in self.layers:
            crossed = x_BD * layer(crossed) + crossed
        return crossed


class CrossMixture(nn.Module):
    """x_{l+1} = x_0 * (sum over experts of g_i(x_l) U_i h_i + b) + x_l (DCN V2, eq. 3 and 4).

    h_i = tanh(C_i tanh(V_i^T x_l)) has R entries, far fewer than x; the gates g are a softmax over
    the experts, so that they sum to one and a bias of each expert is one bias of the layer.
    """

    def __init__(self, inputs: int, layers: int, experts: int, rank: int) -> None:
        super().__init__()
        self.experts, self.rank = experts, rank
        self.gates = nn.ModuleList(linear(inputs, experts) for _ in range(layers))
        self.down = nn.ModuleList(linear(inputs, experts * rank, bias=False) for _ in range(layers))
        self.up = nn.ModuleList(linear(experts * rank, inputs) for _ in range(layers))
        self.inner = nn.ParameterList()
        for _ in range(layers):
            inner_XRR = torch.empty(experts, rank, rank)
            for matrix in inner_XRR:
                nn.init.xavier_normal_(matrix)
            self.inner.append(nn.Parameter(inner_XRR))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return (B, D)."""
        crossed = x_BD
        for gate, down, inner, up in zip(self.gates, self.down, self.inner, self.up, strict=True):
            low_BXR = torch.tanh(down(crossed).reshape(-1, self.experts, self.rank))
            turned_XBR = torch.bmm(low_BXR.transpose(0, 1), inner)
            gates_BX1 = torch.softmax(gate(crossed), 1).unsqueeze(2)
            weighted_BXR = gates_BX1 * torch.tanh(turned_XBR).transpose(0, 1)
            crossed = x_BD * up(weighted_BXR.flatten(1)) + crossed
        return crossed


class VectorCross(nn.Module):
    """x_{l+1} = x_0 * (w_l . x_l) + b_l + x_l (DCN, Wang et al. 2017, eq. 3)."""

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.weights = nn.ModuleList(linear(inputs, 1, bias=False) for _ in range(layers))
        self.biases = nn.ParameterList(torch.zeros(inputs) for _ in range(layers))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return (B, D)."""
        crossed = x_BD
        for weight, bias in zip(self.weights, self.biases, strict=True):
            crossed = x_BD * weight(crossed) + bias + crossed
        return crossed


class GatedCross(nn.Module):
    """c_{l+1} = c_0 * (W_l c_l + b_l) * sigmoid(G_l c_l) + c_l (GDCN, Wang et al. 2023, eq. 2)."""

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(inputs, inputs) for _ in range(layers))
        self.gates = nn.ModuleList(linear(inputs, inputs, bias=False) for _ in range(layers))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return (B, D)."""
        crossed = x_BD
        for layer, gate in zip(self.layers, self.gates, strict=True):
            crossed = x_BD * layer(crossed) * torch.sigmoid(gate(crossed)) + crossed
        return crossed


class CompressedInteraction(nn.Module):
    """Layer k: maps that are weighted sums of products of layer k - 1 with the fields themselves.

    x^k_m = sum over i, j of W^k_m,ij (x^{k-1}_i * x^0_j), summed over E at the end (xDeepFM, Lian
    et al. 2018, eq. 6-8).
    """

    def __init__(self, fields: int, maps: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            linear(before * fields, after, bias=False)
            for before, after in zip([fields, *maps], maps, strict=False)
        )

    def forward(self, fields_BFE: Tensor) -> Tensor:
        """Return (B, O): the maps of all layers, each summed over its vector."""
        fields_BE1F = fields_BFE.transpose(1, 2).unsqueeze(2)
        maps_BEM, sums = fields_BFE.transpose(1, 2), []
        for layer in self.layers:
            maps_BEM = layer((maps_BEM.unsqueeze(3) * fields_BE1F).flatten(2))
            sums.append(maps_BEM.sum(1))
        return torch.cat(sums, 1)
