"""What every model shares: keys to rows to vectors, numerics to vectors, then the model's head.

The tables (embeddings, vocabulary) are kept apart from the dense part and are *arguments* of its
forward: a compiled package then holds a few MB of dense weights, and the tables are memory-mapped
and shared by all processes of a machine.

Legend: B batch, C columns of keys and V of values (K and N without lists), K categorical, N
numeric, F fields (K, lists, N), E table width, R table rows, S buckets, T labels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.lookup import Lookup
from models.layers.numeric import NumericFields
from models.layers.pooling import Pooling
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
        self, lookup: Lookup, numeric: NumericFields, head: nn.Module, signature: Signature
    ) -> None:
        super().__init__()
        self.lookup, self.numeric, self.head = lookup, numeric, head
        self.lists = signature.lists
        self.singles, self.numbers = len(signature.categorical), len(signature.numeric)
        self.value_columns = len(signature.value_columns)
        self.has_sparse_gradients = False
        """Whether those of the table hold only the rows of a batch, while it is trained."""
        self.pooling = nn.ModuleList(Pooling(has_ages=one.has_ages) for one in self.lists)
        self.register_buffer("scale", torch.ones(len(signature.labels)))
        self.register_buffer("shift", torch.zeros(len(signature.labels)))

    def fields(
        self, keys_BC: Tensor, values_BV: Tensor, table_RE: Tensor, slots_S8: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what a head takes: vectors of all fields (B, F, E), scaled numerics (B, N)."""
        rows_BC = self.lookup(keys_BC, slots_S8)
        vectors_BCE = F.embedding(rows_BC, table_RE, sparse=self.has_sparse_gradients)
        scaled_BN, vectors_BNE = self.numeric(values_BV[:, : self.numbers])
        if not self.lists and not self.numbers:
            return vectors_BCE, scaled_BN
        pooled = self._pooled(vectors_BCE, keys_BC, values_BV)
        return torch.cat([vectors_BCE[:, : self.singles], *pooled, vectors_BNE], 1), scaled_BN

    def _pooled(self, vectors_BCE: Tensor, keys_BC: Tensor, values_BV: Tensor) -> list[Tensor]:
        """Return the vector of each list, (B, 1, E)."""
        found, column, age = [], self.singles, self.numbers
        for one, pooling in zip(self.lists, self.pooling, strict=True):
            own, ages = slice(column, column + one.length), None
            column += one.length
            if one.has_ages:
                ages = values_BV[:, age : age + one.length]
                age += one.length
            found.append(pooling(vectors_BCE[:, own], keys_BC[:, own], ages).unsqueeze(1))
        return found

    def calibrated(self, logits_BT: Tensor) -> Tensor:
        """Return the logits of what a head gives, (B, T)."""
        return self.scale * logits_BT + self.shift

    def forward(
        self, keys_BC: Tensor, values_BV: Tensor, table_RE: Tensor, slots_S8: Tensor
    ) -> Tensor:
        """Return logits (B, T) float32."""
        return self.calibrated(self.head(*self.fields(keys_BC, values_BV, table_RE, slots_S8)))


class Ranker(nn.Module):
    """A model: `keys (B, C) int64`, `values (B, V) float32` to logits (B, T) float32.

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
        lookup = Lookup(vocabulary, signature.column_fields)
        self.dense = DenseRanker(lookup, numeric, head, signature)
        table_RE = torch.empty(vocabulary.rows, width).normal_(std=EMBEDDING_STD)
        # With min_count=1 no training row has an unknown key: it must then mean nothing at all.
        table_RE[torch.from_numpy(vocabulary.first)] = 0.0
        self.table = nn.Parameter(table_RE)
        self.register_buffer("slots", torch.from_numpy(vocabulary.slots.copy()))

    def forward(self, keys_BC: Tensor, values_BV: Tensor) -> Tensor:
        """Return logits (B, T)."""
        return self.dense(keys_BC, values_BV, self.table, self.slots)

    def loss(
        self, keys_BC: Tensor, values_BV: Tensor, labels_BT: Tensor, weights_B: Tensor
    ) -> Tensor:
        """Return what training minimises on a batch, a scalar: mean binary cross-entropy.

        Args:
            keys_BC: (B, C) int64.
            values_BV: (B, V) float32.
            labels_BT: (B, T) float32, 0 or 1; NaN where a row has no such label.
            weights_B: (B,) float32, above 0: how many rows each counts as; 1 where none was left
                out of what is learned from.
        """
        return mean_cross_entropy(self(keys_BC, values_BV), labels_BT, weights_B=weights_B)
