"""What is trained in the training benchmark, whoever trains it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tests.benchmarks.training_rows import cardinalities


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One model, its sizes, and how many rows are in a round."""

    model: str
    device: torch.device
    batch_size: int
    steps: int
    """Steps of a round."""
    most_values: int
    """Values of the largest categorical field."""
    embedding_dim: int = 16
    cross_layers: int = 3
    hidden: tuple[int, ...] = (400, 400, 400)
    heads: int = 5
    learning_rate: float = 1e-3

    @property
    def rows(self) -> int:
        """Rows of a round."""
        return self.batch_size * self.steps

    @property
    def cardinalities(self) -> np.ndarray:
        """Values of each categorical field."""
        return cardinalities(self.most_values)
