"""A training: what is fitted first, then the loop, and the model it leaves.

Started by torchrun it trains on all processes together (the batch is split among them); the result
is the same model in every process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from models import registry
from models.errors import ConfigInvalid
from models.ranker import Ranker
from models.signature import Signature
from models.training.checkpoint import Checkpoints
from models.training.config import EpochReport, Pace, TrainConfig
from models.training.data import WHOLE, Shard, TrainingFiles
from models.training.distributed import Group, joined
from models.training.feed import Feed
from models.training.fitting import fit
from models.training.indexed import Indexer, takes_indexed
from models.training.loop import Run
from models.training.memory import memory_told
from models.vocabulary import Vocabulary

log = logging.getLogger(__name__)

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
    checkpoints: Checkpoints | None = None,
    on_pace: Callable[[Pace], None] = lambda _: None,
) -> TrainedModel:
    """Return the model of the epoch that `config.monitor` finds best on the validation files.

    Args:
        spec_name: the model's name.
        model_config: its settings; None takes its defaults.
        signature: which columns it takes.
        train_files: what is learned from.
        valid_files: what the best epoch is best on.
        config: how it is trained.
        on_epoch: called by the leader when an epoch ended.
        checkpoints: where to keep what was trained, and to go on from; None keeps none.
        on_pace: called by the leader every so often while an epoch is under way.

    Raises:
        Stopped: it was asked to stop; a checkpoint holds what was trained.
        CheckpointInvalid: there is a checkpoint, and it cannot be gone on from.
        UnknownModel: the registry has no such model.
        NonFiniteLoss: training diverged.
        OutOfMemory: there is less memory than it needs.
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
    ranker: Ranker | None = None

    def tables() -> str:
        return "tables not made yet" if ranker is None else table_text(ranker)

    with (
        joined(config.device) as group,
        _seeded(config.seed, group),
        memory_told(group.device, config.batch_size or 0, tables),
    ):
        feed = _feed(train_files, signature, config, Shard(index=group.rank, count=group.size))
        whole = feed if group.size == 1 else _feed(train_files, signature, config, WHOLE)
        fitted = fit(whole.parts(), signature, config.min_count, group)
        ranker = spec.build(model_config, signature, fitted.vocabulary)
        fitted.apply(ranker)
        valid = _feed(valid_files, signature, config, WHOLE)
        indexer = Indexer(ranker)
        feed.prepare(indexer)
        valid.prepare(indexer)
        with takes_indexed(ranker):
            run = Run(
                name=spec_name, ranker=ranker.to(group.device), feed=feed, valid=valid,
                config=config, l2=l2, group=group,
            )  # fmt: skip
            history = run.fit(on_epoch, checkpoints or Checkpoints.none(), on_pace)
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


def table_text(ranker: Ranker) -> str:
    """Return how large a model's embedding table is, for a person."""
    rows, width = ranker.table.shape
    return f"an embedding table of {rows:,} rows x {width} ({rows * width * 4 / 2**20:,.0f} MiB)"


def batch_size_for(rows: int) -> int:
    """Return the batch size for a training on `rows`: a power of two, of 256 to 4096.

    What is learned in an epoch depends on its steps more than on its rows: of few rows are made
    at least `STEPS_PER_EPOCH` steps where batches of 256 allow it.
    """
    wanted = rows // STEPS_PER_EPOCH
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, 1 << max(wanted, 1).bit_length() - 1))


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
