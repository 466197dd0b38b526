"""How a model is trained: settings, and how one epoch went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from models.errors import ConfigInvalid
from models.rules import check_settings

Monitor = Literal["auc", "logloss", "auc-logloss"]
Optimizer = Literal["adam", "adamw", "adagrad", "lion"]
Schedule = Literal["plateau", "cosine"]
Calibration = Literal["none", "platt"]
Precision = Literal["f32", "bf16"]

SPARSE_OPTIMIZERS: tuple[Optimizer, ...] = ("adam", "adagrad")
"""Those that can leave a row of the embedding table alone that a batch does not hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One training run; the same config and data give the same model on the same machine."""

    epochs: int = 100
    batch_size: int | None = None
    """Rows per step, over all processes; None follows from the rows: see `batch_size_for`."""
    learning_rate: float = 1e-3
    optimizer: Optimizer = "adam"
    schedule: Schedule = "plateau"
    """`plateau`: an epoch without gain cuts the learning rate to a tenth. `cosine`: it falls to
    nothing over `epochs`."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises at first."""
    max_grad_norm: float | None = None
    """Longer gradients (the norm of all together) are cut to this; None cuts none."""
    average: float = 0.0
    """Share of the running average of weights that each step keeps (0.99, say); what is validated
    and kept are the averages. 0: the weights themselves."""
    calibration: Calibration = "none"
    """`platt` moves the logits of the best epoch, per label, to fit the validation rows."""
    patience: int = 2
    """Epochs without gain in a row before training stops."""
    seed: int = 0
    embedding_l2: float | None = None
    """L2 weight on the embeddings of a batch's rows; None takes the model's own."""
    sparse_gradients: bool | None = None
    """Whether a step moves no row of the embedding table but those of its batch; None: where it has
    `sparse.SPARSE_ROWS` rows or more, if the optimiser is adam or adagrad."""
    training_precision: Precision = "f32"
    """What the matrix products of a step are computed in; weights, their updates and the loss stay
    float32, and so does validation."""
    min_count: int = 1
    """Rows a key must be in to be known; rarer ones share their field's unknown row."""
    monitor: Monitor = "logloss"
    """What the best epoch is best in, on the validation rows. AUC stops at the first good order of
    rows, which of rare events comes long before good probabilities do."""
    device: str = "auto"
    memory_bytes: int = 4 << 30
    """Data up to this size is kept in memory; larger is streamed at every epoch."""

    def __post_init__(self) -> None:
        check_settings(
            "train", self, positive=["epochs", "patience", "min_count"], shares=["average"]
        )
        _refuse_unless(
            self.batch_size is None or self.batch_size >= 1, self, "batch_size", "at least 1"
        )
        _refuse_unless(0 < self.learning_rate < 1, self, "learning_rate", "in (0, 1)")
        _refuse_unless(self.warmup_steps >= 0, self, "warmup_steps", "at least 0")
        norm, l2 = self.max_grad_norm, self.embedding_l2
        _refuse_unless(norm is None or 0 < norm < math.inf, self, "max_grad_norm", "above 0")
        _refuse_unless(l2 is None or 0 <= l2 < math.inf, self, "embedding_l2", "at least 0")
        _refuse_unless(self.seed >= 0, self, "seed", "at least 0")
        can_be_sparse = not self.sparse_gradients or self.optimizer in SPARSE_OPTIMIZERS
        rule = f"False or None with optimizer={self.optimizer}"
        _refuse_unless(can_be_sparse, self, "sparse_gradients", rule)
        for name, known in _CHOICES.items():
            _refuse_unless(getattr(self, name) in known, self, name, f"one of {', '.join(known)}")


_CHOICES = {
    "monitor": get_args(Monitor),
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "calibration": get_args(Calibration),
    "training_precision": get_args(Precision),
}


def _refuse_unless(holds: bool, config: TrainConfig, name: str, rule: str) -> None:
    if not holds:
        raise ConfigInvalid("train", name, getattr(config, name), f"must be {rule}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochReport:
    """How one epoch went; auc and logloss are means over the labels, on the validation rows."""

    epoch: int
    train_loss: float
    auc: float
    logloss: float
    learning_rate: float
    seconds: float
    is_best: bool
    rows_per_second: float
    """Rows learned from, over all processes, by the second; without validation."""
    memory_mib: float
    """The most memory that the leader has taken until then: of its GPU, or of the process."""
    gpu_percent: float | None = None
    """How busy its GPU was, where there is one and that can be asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How far an epoch is."""

    epoch: int
    step: int
    steps: int
    rows_per_second: float
    """Over all processes, in this epoch."""
    seconds_left: float
    """Until its last step, at that rate."""
