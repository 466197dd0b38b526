"""Interactions of complex vectors: products of powers are sums in polar form.

Legend: B batch, F fields in, O fields out, E embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.linear import linear

SMALLEST = 1e-4
"""A modulus counts as no less, so that its logarithm is finite."""


class EulerInteraction(nn.Module):
    """One layer of EulerNet (Tian et al. 2023, eq. 6-12): explicit and implicit crosses, added.

    Explicit: output o is the product over fields j of z_j to the power a_oj, by dimension: the
    logarithms of the moduli and the phases are added up, weighted by the powers. Implicit: one
    perceptron layer over all fields, the same for real and imaginary parts.
    """

    def __init__(self, fields: int, outputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.outputs, self.width = outputs, width
        # Each output begins near one field to the power of one.
        own_OF = torch.eye(fields)[torch.arange(outputs) % fields]
        self.powers = nn.Parameter(own_OF + 0.05 * torch.randn(outputs, fields))
        self.log_scale = nn.Parameter(torch.zeros(outputs, width))
        self.turn = nn.Parameter(torch.zeros(outputs, width))
        self.implicit = linear(fields * width, outputs * width)
        self.dropout = nn.Dropout(dropout)
        self.norm_real, self.norm_imaginary = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, real_BFE: Tensor, imaginary_BFE: Tensor) -> tuple[Tensor, Tensor]:
        """Return the real and the imaginary parts, both (B, O, E)."""
        square = real_BFE.square() + imaginary_BFE.square()
        log_modulus_BFE = 0.5 * torch.log(square.clamp_min(SMALLEST**2))
        # Of nothing at all the phase is 0, and not what its gradient would make of it.
        is_none = square < SMALLEST**2
        phase_BFE = torch.atan2(
            torch.where(is_none, 0.0, imaginary_BFE), torch.where(is_none, 1.0, real_BFE)
        )
        modulus_BOE = torch.exp(self.powers @ log_modulus_BFE + self.log_scale)
        phase_BOE = self.powers @ phase_BFE + self.turn
        real = modulus_BOE * torch.cos(phase_BOE) + self._implicit(real_BFE)
        imaginary = modulus_BOE * torch.sin(phase_BOE) + self._implicit(imaginary_BFE)
        return self.norm_real(real), self.norm_imaginary(imaginary)

    def _implicit(self, part_BFE: Tensor) -> Tensor:
        rows = self.dropout(torch.relu(self.implicit(part_BFE.flatten(1))))
        return rows.reshape(-1, self.outputs, self.width)
