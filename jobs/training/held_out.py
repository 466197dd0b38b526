"""The held-out rows of a frozen set: read in parts, so that no process holds their features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_store.schema import LABEL_PREFIX, SEGMENT_PREFIX
from models.fit.frozen import training_files
from models.fit.recipe import TRAIN
from models.training.data import Rows, TrainingFiles, stream
from models.training.files import open_file

if TYPE_CHECKING:
    import pyarrow as pa

    from models.fit.recipe import FitRecipe
    from models.signature import Signature

_BATCH_ROWS = 65_536


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Segment:
    """The readable value of one feature in every row: row i has `words[codes[i]]`."""

    words: tuple[str, ...]
    """Sorted."""
    codes: NDArray[np.int32]
    """(n,)"""

    @classmethod
    def of(cls, values: Iterable[str | None]) -> Segment:
        """Return the segment of these values; a null is the empty word."""
        coder = _Coder()
        coder.add(list(values))
        return coder.segment()

    def of_rows(self, rows: NDArray[np.bool_]) -> Segment:
        """Return the segment of some of the rows, by a mask (n,)."""
        return Segment(words=self.words, codes=self.codes[rows])

    def masks(self, min_rows: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield (word, rows (n,) that have it) where `min_rows` and more do, by falling rows."""
        counts = np.bincount(self.codes, minlength=len(self.words))
        for code in np.lexsort((np.arange(len(counts)), -counts)):
            if counts[code] >= max(min_rows, 1):
                yield self.words[code], self.codes == code


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeldOutRows:
    """Held-out rows, encoded and labelled, where they lie, and the segments they belong to."""

    files: TrainingFiles
    signature: Signature
    base_rates: tuple[float, ...]
    """The share of positives among the training rows, of each label of the signature; by weight,
    and so of the whole, where negatives were left out."""
    segments: Mapping[str, Segment]
    """By feature, in the order of the rows."""
    labels_digest: str
    """Of the labels in that order; empty without segments."""

    def parts(self) -> Iterator[Rows]:
        """Yield the rows in the order of the files, some tens of thousands at a time.

        Raises:
            RowCountMismatch: a row was lost, or came twice.
        """
        return stream(self.files, self.signature)


def held_out_rows(
    recipe: FitRecipe, split: str, segments: tuple[str, ...] = (), location: str = ""
) -> HeldOutRows:
    """Return the rows of a split, in the order of its files; of their features none is read yet.

    Args:
        recipe: names the frozen set.
        split: one of its splits.
        segments: segment features to read beside them; there are values in `eval` only.
        location: folder or URL where the set lies, if not where it was frozen.
    """
    files, labels = training_files(recipe, split, location), recipe.signature.labels
    found, digest = _read_segments(files, labels, segments) if segments else ({}, "")
    counts = recipe.splits[TRAIN].labels
    return HeldOutRows(
        files=files,
        signature=recipe.signature,
        base_rates=tuple(counts[name][1] / counts[name][0] for name in labels),
        segments=found,
        labels_digest=digest,
    )


class _Coder:
    """Numbers for the words of a column that is read in parts."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._parts: list[NDArray[np.int32]] = []

    def add(self, values: list[str | None]) -> None:
        """Append the codes of more rows."""
        codes = self._codes
        found = (codes.setdefault(value or "", len(codes)) for value in values)
        self._parts.append(np.fromiter(found, np.int32, len(values)))

    def segment(self) -> Segment:
        """Return all rows so far, with the words in order."""
        words = sorted(self._codes)
        place = np.empty(len(words), np.int32)
        for rank, word in enumerate(words):
            place[self._codes[word]] = rank
        codes = np.concatenate(self._parts) if self._parts else np.empty(0, np.int32)
        return Segment(words=tuple(words), codes=place[codes] if words else codes)


def _read_segments(
    files: TrainingFiles, labels: tuple[str, ...], segments: tuple[str, ...]
) -> tuple[dict[str, Segment], str]:
    """Return the segment columns, row for row beside the rows of `stream`."""
    columns = [f"{LABEL_PREFIX}{name}" for name in labels]
    told_labels, count = hashlib.sha256(), len(columns)
    coders = {name: _Coder() for name in segments}
    for batch in _batches(files, [*columns, *(f"{SEGMENT_PREFIX}{s}" for s in segments)]):
        told = [column.to_numpy(zero_copy_only=False) for column in batch.columns[:count]]
        told_labels.update(label_bytes(np.stack(told, 1)))
        for column, coder in zip(batch.columns[count:], coders.values(), strict=True):
            coder.add(column.to_pylist())
    return {name: coder.segment() for name, coder in coders.items()}, told_labels.hexdigest()


def label_bytes(labels: NDArray[Any]) -> bytes:
    """Return labels (n, T) as bytes, the same whatever stood where a row has none."""
    return np.where(np.isnan(labels), -1, labels).astype(np.int8).tobytes()


def _batches(files: TrainingFiles, columns: list[str]) -> Iterator[pa.RecordBatch]:
    # `stream` reads the files sorted by name, without threads: the same order as here.
    for file in sorted(files.files):
        with open_file(file) as handle, pq.ParquetFile(handle) as parquet:
            yield from parquet.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False)
