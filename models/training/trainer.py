"""The training loop: Adam, plateau decay, early stopping, the best epoch's weights.

Started by torchrun it trains on all processes together (the batch is split among them); the result
is the same model in every process.

Legend: B batch, T labels.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models import metrics, registry
from models.errors import ConfigInvalid, NonFiniteLoss
from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.training.data import WHOLE, Shard, TrainingFiles
from models.training.distributed import Group, joined
from models.training.feed import Feed
from models.training.fitting import fit
from models.vocabulary import Vocabulary

log = logging.getLogger(__name__)

Monitor = Literal["auc", "auc-logloss"]
DECAY = 0.1
LEAST_GAIN = 1e-6
CHECK_EVERY = 64  # steps between looks at the loss on a GPU, where looking means waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One training run; the same config and data give the same model on the same machine."""

    epochs: int = 100
    batch_size: int = 4096
    """Rows per step, over all processes."""
    learning_rate: float = 1e-3
    patience: int = 2
    """Epochs without gain in a row before training stops; each also cuts the learning rate."""
    seed: int = 0
    embedding_l2: float | None = None
    """L2 weight on the embedding table; None takes the model's own."""
    min_count: int = 1
    """Rows a key must be in to be known; rarer ones share their field's unknown row."""
    monitor: Monitor = "auc"
    """What the best epoch is best in, on the validation rows; `auc-logloss` also minds calibration,
    whose noise cuts the learning rate earlier."""
    device: str = "auto"
    memory_bytes: int = 4 << 30
    """Data up to this size is kept in memory; larger is streamed at every epoch."""

    def __post_init__(self) -> None:
        check_settings("train", self, positive=["epochs", "batch_size", "patience", "min_count"])
        if not 0 < self.learning_rate < 1:
            raise ConfigInvalid("train", "learning_rate", self.learning_rate, "must be in (0, 1)")
        if self.embedding_l2 is not None and not 0 <= self.embedding_l2 < math.inf:
            raise ConfigInvalid("train", "embedding_l2", self.embedding_l2, "must be at least 0")
        if self.monitor not in get_args(Monitor):
            raise ConfigInvalid("train", "monitor", self.monitor, f"one of {get_args(Monitor)}")
        if self.seed < 0:
            raise ConfigInvalid("train", "seed", self.seed, "must be at least 0")


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


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedModel:
    """A trained module in eval mode, on the CPU, and how good it is."""

    spec_name: str
    model_config: Any
    signature: Signature
    module: Ranker
    vocabulary: Vocabulary
    metrics: dict[str, Any]
    """`metrics.summary` of the first label on the validation rows, and of each under `labels`."""
    history: tuple[EpochReport, ...]
    seconds: float


def train(
    spec_name: str,
    model_config: Any | None,
    signature: Signature,
    train_files: TrainingFiles,
    valid_files: TrainingFiles,
    config: TrainConfig,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> TrainedModel:
    """Return the model of the epoch that `config.monitor` finds best on the validation files.

    Raises:
        UnknownModel: the registry has no such model.
        NonFiniteLoss: training diverged.
        RowCountMismatch: the reader lost rows.
    """
    spec, started = registry.get(spec_name), time.monotonic()
    model_config = spec.config_class() if model_config is None else model_config
    if not isinstance(model_config, spec.config_class):
        raise ConfigInvalid(
            spec_name, "model_config", model_config, f"must be a {spec.config_class.__name__}"
        )
    l2 = spec.embedding_l2 if config.embedding_l2 is None else config.embedding_l2
    with joined(config.device) as group, _seeded(config.seed, group):
        feed = _feed(train_files, signature, config, Shard(index=group.rank, count=group.size))
        whole = feed if group.size == 1 else _feed(train_files, signature, config, WHOLE)
        fitted = fit(whole.parts(), signature, config.min_count, group)
        ranker = spec.build(model_config, signature, fitted.vocabulary)
        fitted.apply_scale(ranker)
        run = _Run(
            name=spec_name,
            ranker=ranker.to(group.device),
            feed=feed,
            valid=_feed(valid_files, signature, config, WHOLE),
            config=config,
            l2=l2,
            group=group,
        )
        history = run.fit(on_epoch)
        final = run.final_metrics()
    seconds = time.monotonic() - started
    log.info(
        "trained model=%s rows=%d epochs=%d auc=%.4f logloss=%.4f seconds=%.1f",
        spec_name, train_files.rows, len(history), final["auc"], final["logloss"], seconds,
    )  # fmt: skip
    return TrainedModel(
        spec_name=spec_name,
        model_config=model_config,
        signature=signature,
        module=ranker.cpu().eval(),
        vocabulary=fitted.vocabulary,
        # No seconds: they would make another bundle of the same model.
        metrics={**final, "epochs": len(history)},
        history=tuple(history),
        seconds=seconds,
    )


def _feed(files: TrainingFiles, signature: Signature, config: TrainConfig, shard: Shard) -> Feed:
    return Feed(
        files=files,
        signature=signature,
        batch_size=max(1, config.batch_size // shard.count),
        seed=config.seed,
        shard=shard,
        memory_bytes=config.memory_bytes,
    )


@contextmanager
def _seeded(seed: int, group: Group) -> Iterator[None]:
    """Seed torch for the block: initial weights and dropout, each process its own dropout."""
    on_gpu = group.device.type == "cuda"
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[group.device] if on_gpu else []):
        torch.manual_seed(seed * 65_536 + group.rank)
        if on_gpu:
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was_deterministic)


class _Run:
    """One training run in one process."""

    def __init__(
        self,
        *,
        name: str,
        ranker: Ranker,
        feed: Feed,
        valid: Feed,
        config: TrainConfig,
        l2: float,
        group: Group,
    ) -> None:
        self.name, self.ranker, self.feed, self.valid = name, ranker, feed, valid
        self.config, self.group = config, group
        group.share_state(ranker)
        self.wrapped = group.wrap(ranker)
        self.optimizer = _optimizer(ranker, config.learning_rate, l2)

    def fit(self, on_epoch: Callable[[EpochReport], None] | None) -> list[EpochReport]:
        """Train to the end, restore the best weights, and return one report per epoch."""
        history: list[EpochReport] = []
        best, best_state, bad = -math.inf, None, 0
        for epoch in range(1, self.config.epochs + 1):
            report, value = self._epoch(epoch, best)
            history.append(report)
            if on_epoch is not None and self.group.leads:
                on_epoch(report)
            if report.is_best:
                best, bad, best_state = value, 0, _dense_copy(self.ranker)
                continue
            bad += 1
            for parameters in self.optimizer.param_groups:
                parameters["lr"] *= DECAY
            if bad >= self.config.patience:
                break
        if best_state is not None:
            self.ranker.load_state_dict(best_state, strict=False)
        self.group.share_state(self.ranker)
        return history

    def final_metrics(self) -> dict[str, Any]:
        """Return the validation metrics of the restored weights, per label and of the first."""
        labels, scores = self._validate()
        each = {
            name: metrics.summary(labels[:, t], scores[:, t])
            for t, name in enumerate(self.feed.signature.labels)
        }
        return {**each[self.feed.signature.labels[0]], "labels": each}

    def _epoch(self, epoch: int, best: float) -> tuple[EpochReport, float]:
        started, rate = time.monotonic(), self.optimizer.param_groups[0]["lr"]
        loss = self._train_epoch(epoch)
        auc, logloss = self._score(epoch) if self.group.leads else (0.0, 0.0)
        auc, logloss = self.group.share_number(auc), self.group.share_number(logloss)
        value = auc - logloss if self.config.monitor == "auc-logloss" else auc
        report = EpochReport(
            epoch=epoch,
            train_loss=loss,
            auc=auc,
            logloss=logloss,
            learning_rate=rate,
            seconds=time.monotonic() - started,
            is_best=value > best + LEAST_GAIN,
        )
        log.info(
            "model=%s epoch=%d train_loss=%.5f auc=%.5f logloss=%.5f lr=%g seconds=%.1f",
            self.name, epoch, loss, auc, logloss, rate, report.seconds,
        )  # fmt: skip
        return report, value

    def _train_epoch(self, epoch: int) -> float:
        self.wrapped.train()
        total = torch.zeros((), device=self.group.device)
        look_every = 1 if self.group.device.type == "cpu" else CHECK_EVERY
        step = 0
        for step, batch in enumerate(self.feed.epoch(epoch), start=1):
            total += self._step(*(column.to(self.group.device) for column in batch))
            if step % look_every == 0 or step == self.feed.steps:
                value = float(total)
                if not math.isfinite(value):
                    raise NonFiniteLoss(self.name, epoch, step, value)
        return float(total) / step

    def _step(self, keys_BK: Tensor, values_BN: Tensor, labels_BT: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.binary_cross_entropy_with_logits(self.wrapped(keys_BK, values_BN), labels_BT)
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def _score(self, epoch: int) -> tuple[float, float]:
        labels, scores = self._validate()
        if not np.isfinite(scores).all():
            raise NonFiniteLoss(self.name, epoch, self.feed.steps, math.nan)
        columns = range(labels.shape[1])
        auc = float(np.mean([metrics.auc(labels[:, t], scores[:, t]) for t in columns]))
        if math.isnan(auc):
            raise ConfigInvalid(
                "validation", "labels", self.feed.signature.labels,
                "needs both classes in the validation rows: take more days",
            )  # fmt: skip
        return auc, float(np.mean([metrics.logloss(labels[:, t], scores[:, t]) for t in columns]))

    def _validate(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return labels and scores (rows, T) of the validation rows, in their order."""
        self.ranker.eval()
        labels, scores = [], []
        with torch.no_grad():
            for keys, values, labels_BT in self.valid.batches():
                logits = self.ranker(keys.to(self.group.device), values.to(self.group.device))
                scores.append(torch.sigmoid(logits).cpu().numpy())
                labels.append(labels_BT.numpy())
        return np.concatenate(labels), np.concatenate(scores)


def _optimizer(ranker: Ranker, rate: float, l2: float) -> torch.optim.Optimizer:
    """Return Adam; its coupled weight decay on the table is the gradient of l2 / 2 |table|^2."""
    rest = [p for n, p in ranker.named_parameters() if n != "table" and p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": [ranker.table], "weight_decay": l2}]
    if rest:
        groups.append({"params": rest})
    return torch.optim.Adam(groups, lr=rate, fused=True)


def _dense_copy(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state; the vocabulary does not change and stays out of it."""
    return {n: copy.deepcopy(t) for n, t in module.state_dict().items() if n != "slots"}
