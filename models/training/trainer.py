"""The training loop: steps, early stopping, the best epoch's weights, calibrated.

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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import metrics, registry
from models.errors import ConfigInvalid, NonFiniteLoss
from models.ranker import Ranker
from models.signature import Signature
from models.training.calibration import platt
from models.training.config import EpochReport, TrainConfig
from models.training.data import WHOLE, Shard, TrainingFiles
from models.training.distributed import Group, joined
from models.training.feed import Feed
from models.training.fitting import fit
from models.training.optimizer import (
    AveragedWeights,
    LearningRate,
    make_optimizer,
    regularise_seen_rows,
)
from models.vocabulary import Vocabulary

log = logging.getLogger(__name__)

LEAST_GAIN = 1e-6
CHECK_EVERY = 64  # steps between looks at the loss on a GPU, where looking means waiting
STEPS_PER_EPOCH = 200
SMALLEST_BATCH, LARGEST_BATCH = 256, 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedModel:
    """A trained module in eval mode, on the CPU, and how good it is."""

    spec_name: str
    model_config: Any
    signature: Signature
    module: Ranker
    vocabulary: Vocabulary
    metrics: dict[str, Any]
    """`metrics.summary` of the first label on the validation rows, and of each under `labels`;
    a label's is of the rows that have it."""
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
    config = replace(config, batch_size=config.batch_size or batch_size_for(train_files.rows))
    with joined(config.device) as group, _seeded(config.seed, group):
        feed = _feed(train_files, signature, config, Shard(index=group.rank, count=group.size))
        whole = feed if group.size == 1 else _feed(train_files, signature, config, WHOLE)
        fitted = fit(whole.parts(), signature, config.min_count, group)
        ranker = spec.build(model_config, signature, fitted.vocabulary)
        fitted.apply(ranker)
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
    assert config.batch_size is not None  # noqa: S101 - settled when training begins
    return Feed(
        files=files,
        signature=signature,
        batch_size=max(1, config.batch_size // shard.count),
        seed=config.seed,
        shard=shard,
        memory_bytes=config.memory_bytes,
    )


def batch_size_for(rows: int) -> int:
    """Return the batch size for a training on `rows`: a power of two, of 256 to 4096.

    What is learned in an epoch depends on its steps more than on its rows: of few rows are made
    at least `STEPS_PER_EPOCH` steps where batches of 256 allow it.
    """
    wanted = rows // STEPS_PER_EPOCH
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, 1 << max(wanted, 1).bit_length() - 1))


class _Objective(nn.Module):
    """The loss of a model as a forward pass: what is distributed is the forward alone."""

    def __init__(self, ranker: Ranker) -> None:
        super().__init__()
        self.ranker = ranker

    def forward(self, keys_BK: Tensor, values_BN: Tensor, labels_BT: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        return self.ranker.loss(keys_BK, values_BN, labels_BT)


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
        self.config, self.l2, self.group = config, l2, group
        group.share_state(ranker)
        self.objective = group.wrap(_Objective(ranker))
        self.optimizer = make_optimizer(ranker, config)
        self.rate = LearningRate(self.optimizer, config, feed.steps)
        self.averaged = AveragedWeights(ranker, config.average) if config.average else None

    def fit(self, on_epoch: Callable[[EpochReport], None] | None) -> list[EpochReport]:
        """Train to the end, restore the best weights, and return one report per epoch."""
        history: list[EpochReport] = []
        best, best_state, bad = -math.inf, None, 0
        for epoch in range(1, self.config.epochs + 1):
            started = time.monotonic()
            loss = self._train_epoch(epoch)
            with self._averages():
                report, value = self._report(epoch, loss, started, best)
                if report.is_best:
                    best, bad, best_state = value, 0, _dense_copy(self.ranker)
            history.append(report)
            if on_epoch is not None and self.group.leads:
                on_epoch(report)
            if not report.is_best:
                bad += 1
                self.rate.plateau()
                if bad >= self.config.patience:
                    break
        if best_state is not None:
            self.ranker.load_state_dict(best_state, strict=False)
        if self.config.calibration == "platt" and self.group.leads:
            self._calibrate()
        self.group.share_state(self.ranker)
        return history

    def _calibrate(self) -> None:
        labels, logits = self._validate()
        dense = self.ranker.dense
        for t in range(labels.shape[1]):
            own, own_logits = metrics.labelled(labels[:, t], logits[:, t])
            slope, shift = platt(own_logits.astype(np.float64), own.astype(np.float64))
            dense.scale[t] = slope * dense.scale[t]
            dense.shift[t] = slope * dense.shift[t] + shift

    def final_metrics(self) -> dict[str, Any]:
        """Return the validation metrics of the restored weights, per label and of the first."""
        labels, scores = self._scores()
        each = {
            name: metrics.summary(*metrics.labelled(labels[:, t], scores[:, t]))
            for t, name in enumerate(self.feed.signature.labels)
        }
        return {**each[self.feed.signature.labels[0]], "labels": each}

    @contextmanager
    def _averages(self) -> Iterator[None]:
        """Put the averaged weights, if there are any, in the model's place for the block."""
        if self.averaged is None:
            yield
            return
        self.averaged.swap()
        try:
            yield
        finally:
            self.averaged.swap()

    def _report(
        self, epoch: int, loss: float, started: float, best: float
    ) -> tuple[EpochReport, float]:
        """Return how an epoch went, and the value that the best one has most of."""
        auc, logloss = self._score(epoch) if self.group.leads else (0.0, 0.0)
        auc, logloss = self.group.share_number(auc), self.group.share_number(logloss)
        values = {"auc": auc, "logloss": -logloss, "auc-logloss": auc - logloss}
        value = values[self.config.monitor]
        report = EpochReport(
            epoch=epoch,
            train_loss=loss,
            auc=auc,
            logloss=logloss,
            learning_rate=self.rate.value,
            seconds=time.monotonic() - started,
            is_best=value > best + LEAST_GAIN,
        )
        log.info(
            "model=%s epoch=%d train_loss=%.5f auc=%.5f logloss=%.5f lr=%g seconds=%.1f",
            self.name, epoch, loss, auc, logloss, report.learning_rate, report.seconds,
        )  # fmt: skip
        return report, value

    def _train_epoch(self, epoch: int) -> float:
        self.objective.train()
        total = torch.zeros((), device=self.group.device)
        look_every = 1 if self.group.device.type == "cpu" else CHECK_EVERY
        step = 0
        for step, batch in enumerate(self.feed.epoch(epoch), start=1):
            total += self._step(*(column.to(self.group.device) for column in batch))
            if step % look_every == 0 or step == self.feed.steps:
                value = float(total)
                if not math.isfinite(value):
                    raise NonFiniteLoss(self.name, epoch, step, value)
        return self.group.mean_number(float(total) / step)

    def _step(self, keys_BK: Tensor, values_BN: Tensor, labels_BT: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        self.rate.advance()
        loss: Tensor = self.objective(keys_BK, values_BN, labels_BT)
        torch.autograd.backward(loss)
        regularise_seen_rows(self.ranker.table, self.l2)
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.ranker.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        if self.averaged:
            self.averaged.update()
        return loss.detach()

    def _score(self, epoch: int) -> tuple[float, float]:
        labels, scores = self._scores()
        if not np.isfinite(scores).all():
            raise NonFiniteLoss(self.name, epoch, self.feed.steps, math.nan)
        each = []
        for t, name in enumerate(self.feed.signature.labels):
            own, own_scores = metrics.labelled(labels[:, t], scores[:, t])
            if len(np.unique(own)) < 2:
                rule = "needs both classes in the validation rows: take more days"
                raise ConfigInvalid("validation", "label", name, rule)
            each.append((metrics.auc(own, own_scores), metrics.logloss(own, own_scores)))
        auc, logloss = np.mean(each, 0)
        return float(auc), float(logloss)

    def _scores(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        labels, logits = self._validate()
        return labels, torch.sigmoid(torch.from_numpy(logits)).numpy()

    def _validate(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return labels (NaN: none) and logits (rows, T) of the validation rows, in their order."""
        self.ranker.eval()
        labels, logits = [], []
        with torch.no_grad():
            for keys, values, labels_BT in self.valid.batches():
                rows = keys.to(self.group.device), values.to(self.group.device)
                logits.append(self.ranker(*rows).cpu().numpy())
                labels.append(labels_BT.numpy())
        return np.concatenate(labels), np.concatenate(logits)


def _dense_copy(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state; the vocabulary does not change and stays out of it."""
    return {n: copy.deepcopy(t) for n, t in module.state_dict().items() if n != "slots"}
