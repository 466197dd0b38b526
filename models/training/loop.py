"""The training loop of one process: steps, early stopping, the best epoch's weights, calibrated.

Legend: B batch, T labels.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import metrics
from models.errors import ConfigInvalid, NonFiniteLoss
from models.training.calibration import platt
from models.training.checkpoint import Snapshot
from models.training.config import EpochReport, Pace, TrainConfig
from models.training.optimizer import (
    AveragedWeights,
    LearningRate,
    cut_gradients,
    make_optimizer,
    make_sparse_optimizer,
    regularise_seen_rows,
)
from models.training.pace import EpochWatch
from models.training.sparse import gather, wants_sparse
from models.training.transfer import on_device
from models.training.usage import GpuUse, memory_mib

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from models.ranker import Ranker
    from models.training.checkpoint import Checkpoints
    from models.training.distributed import Group
    from models.training.feed import Feed

log = logging.getLogger(__name__)

LEAST_GAIN = 1e-6
CHECK_EVERY = 64  # steps between looks at the loss on a GPU, where looking means waiting


class _Objective(nn.Module):
    """The loss of a model as a forward pass: what is distributed is the forward alone."""

    def __init__(self, ranker: Ranker) -> None:
        super().__init__()
        self.ranker = ranker

    def forward(
        self, keys_BK: Tensor, values_BN: Tensor, labels_BT: Tensor, weights_B: Tensor
    ) -> Tensor:
        """Return the loss, a scalar."""
        return self.ranker.loss(keys_BK, values_BN, labels_BT, weights_B)


TABLE = "ranker.table"
"""What `_Objective` calls the embedding table."""


def _optimizers(ranker: Ranker, config: TrainConfig, *, is_sparse: bool) -> list[Optimizer]:
    """Return the optimiser of all that is learned; that of a table with sparse gradients apart."""
    if not is_sparse:
        return [make_optimizer(ranker.parameters(), config)]
    others = (p for p in ranker.parameters() if p is not ranker.table)
    return [make_optimizer(others, config), make_sparse_optimizer(ranker.table, config)]


class Run:
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
        is_sparse = wants_sparse(config, len(ranker.table))
        ranker.dense.has_sparse_gradients = is_sparse
        self.objective = group.wrap(_Objective(ranker), [TABLE] if is_sparse else ())
        self.optimizers = _optimizers(ranker, config, is_sparse=is_sparse)
        self.rate = LearningRate(self.optimizers, config, feed.steps)
        self.averaged = AveragedWeights(ranker, config.average) if config.average else None
        self.history: list[EpochReport] = []
        self.best, self.bad = -math.inf, 0
        self.best_state: dict[str, Tensor] | None = None
        self.epoch, self.step = 1, 0
        """The epoch under way, and the steps taken in it."""
        self.total = torch.zeros((), device=group.device)
        """Sum of the losses of these steps."""
        self.gpu = GpuUse(group.device)
        self.is_bf16 = config.training_precision == "bf16"

    def fit(
        self,
        on_epoch: Callable[[EpochReport], None] | None,
        checkpoints: Checkpoints,
        on_pace: Callable[[Pace], None] = lambda _: None,
    ) -> list[EpochReport]:
        """Train to the end, restore the best weights, and return one report per epoch.

        What a checkpoint holds is not trained again: the weights are those of a training that was
        never stopped.

        Raises:
            Stopped: this was asked for; a checkpoint holds what was trained.
            CheckpointInvalid: there is a checkpoint, and it cannot be gone on from.
            NonFiniteLoss: training diverged.
        """
        found = checkpoints.load(self._made_by)
        if found is not None:
            self._restore(found)
        with checkpoints.holding():
            while self.epoch <= self.config.epochs and self.bad < self.config.patience:
                started, watch = time.monotonic(), self._watch(on_pace)
                self._train_epoch(checkpoints, watch)
                self._end_epoch(started, watch.rows_per_second(self.step), on_epoch)
        if self.best_state is not None:
            self.ranker.load_state_dict(self.best_state, strict=False)
        self.ranker.dense.has_sparse_gradients = False  # what is left is to be exported
        if self.config.calibration == "platt" and self.group.leads:
            self._calibrate()
        self.group.share_state(self.ranker)
        return self.history

    def _end_epoch(
        self, started: float, rate: float, on_epoch: Callable[[EpochReport], None] | None
    ) -> None:
        loss = self.group.mean_number(float(self.total) / self.step)
        with self._averages():
            report, value = self._report(loss, started, rate)
            if report.is_best:
                self.best, self.bad, self.best_state = value, 0, _dense_copy(self.ranker)
        self.history.append(report)
        if on_epoch is not None and self.group.leads:
            on_epoch(report)
        if not report.is_best:
            self.bad += 1
            self.rate.plateau()
        self.epoch, self.step = self.epoch + 1, 0
        self.total.zero_()

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

    def _report(self, loss: float, started: float, rate: float) -> tuple[EpochReport, float]:
        """Return how the epoch went, and the value that the best one has most of."""
        epoch = self.epoch
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
            is_best=value > self.best + LEAST_GAIN,
            rows_per_second=rate,
            memory_mib=memory_mib(self.group.device),
            gpu_percent=self.gpu.mean(),
        )
        log.info(
            "model=%s epoch=%d train_loss=%.5f auc=%.5f logloss=%.5f lr=%g seconds=%.1f "
            "rows_per_second=%.0f memory_mib=%.0f gpu_percent=%s",
            self.name, epoch, loss, auc, logloss, report.learning_rate, report.seconds,
            rate, report.memory_mib, report.gpu_percent,
        )  # fmt: skip
        return report, value

    def _watch(self, on_pace: Callable[[Pace], None]) -> EpochWatch:
        assert self.config.batch_size is not None  # noqa: S101 - settled when training begins
        return EpochWatch(
            epoch=self.epoch, before=self.step, steps=self.feed.steps,
            batch_size=self.config.batch_size, rows=self.feed.files.rows, on_pace=on_pace,
        )  # fmt: skip

    def _train_epoch(self, checkpoints: Checkpoints, watch: EpochWatch) -> None:
        """Take the steps of the epoch that were not taken yet."""
        self.objective.train()
        look_every = 1 if self.group.device.type == "cpu" else CHECK_EVERY
        left = islice(self.feed.epoch(self.epoch), self.step, None)
        for batch in on_device(left, self.group.device):
            self._seed()
            self.total += self.take_step(*batch)
            self.step += 1
            if self.step % look_every == 0 or self.step == self.feed.steps:
                value = float(self.total)
                if not math.isfinite(value):
                    raise NonFiniteLoss(self.name, self.epoch, self.step, value)
                self.gpu.look()
                checkpoints.after_step(self.group, self._snapshot)
                if self.group.leads:
                    watch.after_step(self.step)

    def _seed(self) -> None:
        """Seed dropout for the next step, so that it is the same whatever was done before."""
        told = [self.config.seed, self.group.rank, self.epoch, self.step]
        seed = int(np.random.SeedSequence(told).generate_state(1, np.uint64)[0])
        device = self.group.device
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            torch.cuda.default_generators[index].manual_seed(seed)
        else:
            # `torch.manual_seed` asks every kind of device: a millisecond, at each step.
            torch.default_generator.manual_seed(seed)

    @property
    def _made_by(self) -> dict[str, Any]:
        """What a training that goes on must have in common with the one that was stopped."""
        return {
            "processes": self.group.size,
            "device": self.group.device.type,
            "steps": self.feed.steps,
        }

    def _snapshot(self) -> Snapshot:
        """Return all that the steps so far have changed."""
        tensors = {f"model.{name}": tensor for name, tensor in _dense_state(self.ranker).items()}
        for name, tensor in (self.best_state or {}).items():
            tensors[f"best.{name}"] = tensor
        for place, optimizer in enumerate(self.optimizers):
            for number, state in optimizer.state_dict()["state"].items():
                of = f"optimizer.{place}.{number}"
                # SparseAdam counts its steps in a plain number.
                tensors |= {f"{of}.{key}": torch.as_tensor(told) for key, told in state.items()}
        for number, tensor in enumerate(self.averaged.averages if self.averaged else ()):
            tensors[f"average.{number}"] = tensor
        tensors["total"] = self.total
        numbers = {
            "epoch": self.epoch,
            "step": self.step,
            "best": None if self.best_state is None else self.best,
            "bad": self.bad,
            "history": [asdict(report) for report in self.history],
            "rate": self.rate.state,
            "averaged_steps": self.averaged.steps if self.averaged else 0,
            **self._made_by,
        }
        return Snapshot(tensors=tensors, numbers=numbers)

    def _restore(self, found: Snapshot) -> None:
        """Go on from where a snapshot was taken."""
        numbers = found.numbers
        self.ranker.load_state_dict(found.below("model"), strict=False)
        self.best_state = found.below("best") or None
        for place, optimizer in enumerate(self.optimizers):
            states: dict[int, dict[str, Any]] = {}
            for name, tensor in found.below(f"optimizer.{place}").items():
                number, _, key = name.partition(".")
                is_plain = tensor.dtype == torch.int64
                states.setdefault(int(number), {})[key] = tensor.item() if is_plain else tensor
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": states, "param_groups": groups})
        if self.averaged:
            averages = found.below("average")
            self.averaged.restore(
                [averages[str(n)] for n in range(len(averages))], numbers["averaged_steps"]
            )
        self.total.copy_(found.tensors["total"])
        self.rate.restore(numbers["rate"])
        self.epoch, self.step, self.bad = numbers["epoch"], numbers["step"], numbers["bad"]
        self.best = -math.inf if numbers["best"] is None else numbers["best"]
        self.history = [EpochReport(**report) for report in numbers["history"]]

    def take_step(
        self, keys_BK: Tensor, values_BN: Tensor, labels_BT: Tensor, weights_B: Tensor
    ) -> Tensor:
        """Learn from a batch on the device, and return its loss, a scalar."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.rate.advance()
        with torch.autocast(self.group.device.type, torch.bfloat16, enabled=self.is_bf16):
            loss: Tensor = self.objective(keys_BK, values_BN, labels_BT, weights_B)
        torch.autograd.backward(loss)
        gather(self.ranker.table, self.group)
        regularise_seen_rows(self.ranker.table, self.l2)
        if self.config.max_grad_norm is not None:
            cut_gradients(self.ranker.parameters(), self.config.max_grad_norm)
        for optimizer in self.optimizers:
            optimizer.step()
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
        """Return labels (NaN: none) and logits (rows, T) of the validation rows, in their order.

        These rows are all there are: none is left out, so each counts once.
        """
        self.ranker.eval()
        labels, logits = [], []
        with torch.no_grad():
            for keys, values, labels_BT, _ in self.valid.batches():
                rows = keys.to(self.group.device), values.to(self.group.device)
                logits.append(self.ranker(*rows).cpu().numpy())
                labels.append(labels_BT.numpy())
        return np.concatenate(labels), np.concatenate(logits)


def _dense_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the state that training changes; the vocabulary does not and stays out of it."""
    return {name: tensor for name, tensor in module.state_dict().items() if name != "slots"}


def _dense_copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: copy.deepcopy(tensor) for name, tensor in _dense_state(module).items()}
