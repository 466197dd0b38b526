"""The same case as nightscore trains it: its model, its step, its feed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import registry
from models.ranker import Ranker
from models.training.config import TrainConfig
from models.training.data import Rows, TrainingFiles
from models.training.distributed import Group
from models.training.feed import Feed
from models.training.indexed import Indexed, Indexer
from models.training.loop import Run
from models.training.transfer import on_device
from models.vocabulary import Vocabulary, build
from tests.benchmarks.training_case import Case
from tests.benchmarks.training_rows import SIGNATURE


@dataclass(frozen=True)
class Held:
    """What a feed asks of files, told of rows that are in memory."""

    rows: int

    def shard_rows(self, count: int) -> list[int]:
        return [self.rows] if count == 1 else []


def vocabulary(case: Case) -> Vocabulary:
    """Return every value of every field."""
    known = [np.arange(1, size + 1, dtype=np.int64) for size in case.cardinalities]
    return build(SIGNATURE.categorical, known)


def without_loader(case: Case, rows: Rows, known: Vocabulary, **settings: Any) -> Callable[[], int]:
    """Return a function that takes the case's steps on batches that are there."""
    feed = _held(case, rows)
    run = _run(case, feed, known, **settings)
    batches = [tuple(column.to(case.device) for column in batch) for batch in feed.batches()]
    return lambda: _steps(run, batches, case)


def from_memory(case: Case, rows: Rows, known: Vocabulary) -> Callable[[], int]:
    """Return a function that takes the case's steps on rows in memory, shuffled anew each time."""
    return _fed(case, _held(case, rows), known)


def from_files(case: Case, rows: Rows, known: Vocabulary, folder: Path) -> Callable[[], int]:
    """Return a function that takes the case's steps on rows of a frozen set, read each time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        f"k_{n}": rows.keys[:, i] for i, n in enumerate(SIGNATURE.categorical)
    }
    columns |= {f"v_{n}": rows.values[:, i] for i, n in enumerate(SIGNATURE.numeric)}
    columns |= {f"y_{n}": rows.labels[:, i] for i, n in enumerate(SIGNATURE.labels)}
    path = folder / "frozen.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1 << 16)
    feed = Feed(
        files=TrainingFiles.of([path]), signature=SIGNATURE, batch_size=case.batch_size,
        memory_bytes=0,
    )  # fmt: skip
    return _fed(case, feed, known)


def _held(case: Case, rows: Rows) -> Feed:
    held: Any = Held(len(rows.labels))
    return Feed(files=held, signature=SIGNATURE, batch_size=case.batch_size, _cached=rows)


def _fed(case: Case, feed: Feed, known: Vocabulary) -> Callable[[], int]:
    run, epochs = _run(case, feed, known), iter(range(1, 1 << 30))
    return lambda: _steps(run, on_device(feed.epoch(next(epochs)), case.device), case)


def _steps(run: Run, batches: Iterable[Any], case: Case) -> int:
    import torch

    total = torch.zeros((), device=case.device)
    for batch in batches:
        total += run.take_step(*batch)
    assert torch.isfinite(total)
    return case.rows


def _run(case: Case, feed: Feed, known: Vocabulary, **settings: Any) -> Run:
    spec = registry.get(case.model)
    sizes: dict[str, Any] = {
        "embedding_dim": case.embedding_dim,
        "dropout": 0.0,
        "batch_norm": False,
    }
    if case.model == "dcnv2":
        sizes |= {"cross_layers": case.cross_layers, "hidden": case.hidden}
    else:
        sizes |= {"first_hidden": case.hidden, "second_hidden": case.hidden, "heads": case.heads}
    ranker: Ranker = spec.build(spec.config_class(**sizes), SIGNATURE, known)
    config = TrainConfig(
        batch_size=case.batch_size, learning_rate=case.learning_rate, max_grad_norm=10.0, **settings
    )  # fmt: skip
    feed.prepare(Indexer(ranker))
    ranker.dense.lookup = Indexed()
    run = Run(
        name=case.model, ranker=ranker.to(case.device), feed=feed, valid=feed, config=config,
        l2=0.0, group=Group(device=case.device),
    )  # fmt: skip
    run.objective.train()
    return run
