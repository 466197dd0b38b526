"""What every model shares: keys to rows to vectors, numerics to vectors, then the model's head.

The tables (embeddings, vocabulary) are kept apart from the dense part and are *arguments* of its
forward: a compiled package then holds a few MB of dense weights, and the tables are memory-mapped
and shared by all processes of a machine.

Legend: B batch, K categorical, N numeric, F = K + N, E table width, R table rows, S buckets,
T labels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.lookup import Lookup
from models.layers.numeric import NumericFields
from models.loss import mean_cross_entropy
from models.signature import Signature
from models.vocabulary import Vocabulary

EMBEDDING_STD = 1e-4


class DenseRanker(nn.Module):
    """Everything but the tables; this is what is exported and compiled.

    A logit is `scale * what the head gives + shift`. The shift begins as the logit of the label's
    base rate, so that a head learns what differs from it; calibration after training moves both.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, lookup: Lookup, numeric: NumericFields, head: nn.Module, labels: int
    ) -> None:
        super().__init__()
        self.lookup, self.numeric, self.head = lookup, numeric, head
        self.register_buffer("scale", torch.ones(labels))
        self.register_buffer("shift", torch.zeros(labels))

    def fields(
        self, keys_BK: Tensor, values_BN: Tensor, table_RE: Tensor, slots_S8: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what a head takes: vectors of all fields (B, F, E), scaled numerics (B, N)."""
        fields_BFE = F.embedding(self.lookup(keys_BK, slots_S8), table_RE)
        scaled_BN, vectors_BNE = self.numeric(values_BN)
        if values_BN.shape[1]:
            fields_BFE = torch.cat([fields_BFE, vectors_BNE], 1)
        return fields_BFE, scaled_BN

    def calibrated(self, logits_BT: Tensor) -> Tensor:
        """Return the logits of what a head gives, (B, T)."""
        return self.scale * logits_BT + self.shift

    def forward(
        self, keys_BK: Tensor, values_BN: Tensor, table_RE: Tensor, slots_S8: Tensor
    ) -> Tensor:
        """Return logits (B, T) float32."""
        return self.calibrated(self.head(*self.fields(keys_BK, values_BN, table_RE, slots_S8)))


class Ranker(nn.Module):
    """A model: `keys (B, K) int64`, `values (B, N) float32` to logits (B, T) float32.

    The head is any module (fields (B, F, E), scaled numerics (B, N)) -> logits (B, T). It begins
    as it was made: nothing here sets a weight of it. A model with a loss of its own is a subclass
    that overrides `loss`, and counts each row as often as its weight says.
    """

    slots: Tensor

    def __init__(
        self, *, signature: Signature, vocabulary: Vocabulary, width: int, head: nn.Module
    ) -> None:
        super().__init__()
        numeric = NumericFields(len(signature.numeric), width)
        self.dense = DenseRanker(Lookup(vocabulary), numeric, head, len(signature.labels))
        table_RE = torch.empty(vocabulary.rows, width).normal_(std=EMBEDDING_STD)
        # With min_count=1 no training row has an unknown key: it must then mean nothing at all.
        table_RE[torch.from_numpy(vocabulary.first)] = 0.0
        self.table = nn.Parameter(table_RE)
        self.register_buffer("slots", torch.from_numpy(vocabulary.slots.copy()))

    def forward(self, keys_BK: Tensor, values_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        return self.dense(keys_BK, values_BN, self.table, self.slots)

    def loss(
        self, keys_BK: Tensor, values_BN: Tensor, labels_BT: Tensor, weights_B: Tensor
    ) -> Tensor:
        """Return what training minimises on a batch, a scalar: mean binary cross-entropy.

        Args:
            keys_BK: (B, K) int64.
            values_BN: (B, N) float32.
            labels_BT: (B, T) float32, 0 or 1; NaN where a row has no such label.
            weights_B: (B,) float32, above 0: how many rows each counts as; 1 where none was left
                out of what is learned from.
        """
        return mean_cross_entropy(self(keys_BK, values_BN), labels_BT, weights_B=weights_B)
