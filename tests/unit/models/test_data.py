"""Every row is read exactly once, or the reader says that it was not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import ConfigInvalid, InputInvalid, RowCountMismatch
from models.training import data
from models.training.data import Rows, Shard, TrainingFiles, read_all, stream
from models.training.feed import Feed, batch_spans, step_count
from tests.unit.models.conftest import ONE_LABEL, SIGNATURE, Sets, sample, write

pytest.importorskip("petastorm", reason="petastorm is not installed")


def numbered(folder: Path, rows: int, group: int, files: int = 1) -> TrainingFiles:
    """Files whose first key is the row's number."""
    names = []
    for part, index in enumerate(np.array_split(np.arange(rows), files)):
        rows_ = sample(len(index), ONE_LABEL)
        rows_.keys[:, 0] = index
        names.append(folder / f"{part}.parquet")
        write(rows_, names[-1], ONE_LABEL, group)
    return TrainingFiles.of(names)


def test_rows_arrive_as_they_were_written(tmp_path: Path) -> None:
    rows = sample(1203)
    read = read_all(write(rows, tmp_path / "a.parquet", group=100), SIGNATURE)
    for got, written in zip(read, rows, strict=True):
        np.testing.assert_array_equal(got, written)
        assert got.dtype == written.dtype


def test_a_path_is_taken_as_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "my data" / "split=train"
    folder.mkdir(parents=True)
    assert len(read_all(numbered(folder, 30, group=10), ONE_LABEL).keys) == 30


def test_no_row_is_lost_in_many_passes(tmp_path: Path) -> None:
    files = numbered(tmp_path, 700, group=100)
    for _ in range(10):
        assert sorted(read_all(files, ONE_LABEL).keys[:, 0]) == list(range(700))


def test_rows_that_are_lost_stop_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, real = numbered(tmp_path, 300, group=100), data._row_groups

    def losing(*args: object, **kwargs: object) -> Iterator[Rows]:
        return iter(list(real(*args, **kwargs))[:-1])  # type: ignore[arg-type]

    monkeypatch.setattr(data, "_row_groups", losing)
    with pytest.raises(RowCountMismatch, match=r"200 rows delivered.*promise 300"):
        read_all(files, ONE_LABEL)
    with pytest.raises(RowCountMismatch):
        list(stream(files, ONE_LABEL))


def test_pinned_rows_that_are_not_in_the_footers_are_refused(tmp_path: Path) -> None:
    files = numbered(tmp_path, 300, group=100)
    with pytest.raises(RowCountMismatch):
        read_all(TrainingFiles(files=files.files, rows=299), ONE_LABEL)


def test_shards_part_the_rows_among_them(tmp_path: Path) -> None:
    files = numbered(tmp_path, 1000, group=70, files=3)
    shards = [read_all(files, ONE_LABEL, Shard(index=i, count=3)).keys[:, 0] for i in range(3)]
    assert [len(s) for s in shards] == files.shard_rows(3)
    assert sorted(np.concatenate(shards)) == list(range(1000))


def test_more_shards_than_row_groups_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="row groups"):
        numbered(tmp_path, 100, group=60).shard_rows(3)


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["cached", "streamed"])
def test_an_epoch_has_every_row_once_in_an_order_set_by_the_seed(
    tmp_path: Path, memory: int
) -> None:
    files = numbered(tmp_path, 1001, group=90)

    def order(seed: int, epoch: int) -> list[int]:
        feed = Feed(
            files=files, signature=ONE_LABEL, batch_size=100, seed=seed, memory_bytes=memory
        )
        batches = [keys[:, 0].tolist() for keys, *_ in feed.epoch(epoch)]
        assert len(batches) == feed.steps == step_count(1001, 100)
        return [key for batch in batches for key in batch]

    first = order(0, 1)
    assert sorted(first) == list(range(1001))
    assert first == order(0, 1)
    assert first not in (order(0, 2), order(1, 1), list(range(1001)))


def test_streaming_carries_what_a_chunk_leaves_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.feed.CHUNK_ROWS", 150)
    feed = Feed(
        files=numbered(tmp_path, 1001, group=90), signature=ONE_LABEL, batch_size=100,
        memory_bytes=0,
    )  # fmt: skip
    sizes, seen = [], []
    for keys, *_ in feed.epoch(1):
        sizes.append(len(keys))
        seen += keys[:, 0].tolist()
    assert sorted(seen) == list(range(1001))
    assert sizes == [100] * 9 + [101]


def test_every_shard_takes_as_many_steps(tmp_path: Path) -> None:
    files = numbered(tmp_path, 1000, group=300)  # shards of 600 and 400 rows
    feeds = [
        Feed(files=files, signature=ONE_LABEL, batch_size=100, shard=Shard(index=i, count=2))
        for i in range(2)
    ]
    steps = [sum(1 for _ in feed.epoch(1)) for feed in feeds]
    assert steps == [6, 6]


@pytest.mark.parametrize(
    ("rows", "size", "sizes"),
    [(10, 5, [5, 5]), (11, 5, [5, 6]), (12, 5, [5, 5, 2]), (1, 5, [1]), (3, 1, [1, 2])],
)
def test_no_batch_but_a_lone_one_has_one_row(rows: int, size: int, sizes: list[int]) -> None:
    if size > 1 or rows == 1:
        assert [stop - start for start, stop in batch_spans(rows, size)] == sizes


@pytest.mark.parametrize(
    ("name", "column", "match"),
    [
        ("k_user", pa.array([1, None], pa.int64()), "k_user is float64"),
        ("k_user", pa.array([1, 2], pa.int32()), "k_user is int32"),
        ("y_click", pa.array([0, 0.5], pa.float32()), "y_click"),
        ("y_click", pa.array([0, None], pa.float32()), "y_click"),
    ],
)
def test_a_column_of_the_wrong_kind_is_refused_by_name(
    tmp_path: Path, name: str, column: pa.Array, match: str
) -> None:
    good = {"k_user": [1, 2], "k_item": [1, 2], "y_click": pa.array([0, 1], pa.float32())}
    pq.write_table(pa.table({**good, name: column}), tmp_path / "a.parquet")
    with pytest.raises(InputInvalid, match=match):
        read_all(TrainingFiles.of([tmp_path / "a.parquet"]), ONE_LABEL)


def test_a_missing_column_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k_user": [1, 2], "ds": ["x", "y"]}), tmp_path / "a.parquet")
    with pytest.raises(InputInvalid, match="k_item is not in"):
        read_all(TrainingFiles.of([tmp_path / "a.parquet"]), ONE_LABEL)


def test_the_reader_ends_when_its_consumer_stops_early(sets: Sets) -> None:
    rows = stream(sets.train, SIGNATURE)
    next(rows)
    rows.close()  # type: ignore[attr-defined]
