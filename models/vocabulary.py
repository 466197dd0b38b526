"""Fitted vocabularies: a 64-bit key per field becomes a row of the model's embedding table.

The vocabulary is a bucketised cuckoo table: every known key of a field sits in one of two buckets
of four slots, so a lookup is eight comparisons whatever the key, with no loop, and can be part of
an exported graph (`models/layers/lookup.py`). A bucket is one cache line: four keys, then the
four rows. Every field owns a region of buckets, so equal keys of two fields never meet.

Legend: B batch, C columns of keys, K fields, R table rows (all fields together), S buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import VocabularyError
from models.signature import ListField, column_fields, vocabulary_fields

Int64s = NDArray[np.int64]

WAYS = 4  # slots per bucket: 4 keys and 4 rows of 8 bytes fill a cache line
LOAD = 0.7  # most slots used at first; two choices of four would carry 0.95, more slowly
ATTEMPTS = 12  # new multipliers each time, twice the buckets every second time
ROUNDS = 300  # of eviction before an attempt is given up
LOW_32 = 0xFFFFFFFF
SHIFT = 21  # the low bits of a product are poorly mixed


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """Known keys per field; row 0 of a field stands for every key it does not know."""

    fields: tuple[str, ...]
    sizes: tuple[int, ...]
    """Rows per field, with row 0."""
    slots: Int64s
    """(S, 8): four keys, four rows. An empty slot: a key unknown to its field, row 0."""
    base: Int64s
    """(K,): the first bucket of each field."""
    mask: Int64s
    """(K,): buckets of each field (a power of two) less one."""
    mix: Int64s
    """(4,): odd multipliers below 2**30 of the two bucket choices."""

    @property
    def rows(self) -> int:
        """R: rows of the embedding table."""
        return sum(self.sizes)

    @property
    def first(self) -> Int64s:
        """(K,): the table row of each field's unknown key."""
        return np.cumsum((0, *self.sizes[:-1]), dtype=np.int64)


class KeyCounts:
    """Counts of every key of every field, gathered batch by batch.

    Of a list a row counts each of its keys, for the field that the list is like, if it is like one;
    padding (0) is no key of it.
    """

    def __init__(self, categorical: Sequence[str], lists: Sequence[ListField] = ()) -> None:
        """Begin with no key counted.

        Args:
            categorical: names of the fields of one key each.
            lists: fields of several keys, in the columns behind those.
        """
        self.fields = vocabulary_fields(categorical, lists)
        self._singles = len(categorical)
        self._field_of = np.array(column_fields(categorical, lists))
        self._pending: list[Int64s] = []
        self._pending_rows = 0
        none = np.empty(0, np.int64)
        self.counted: list[tuple[Int64s, Int64s]] = [(none, none) for _ in self.fields]

    def update(self, keys_BC: Int64s) -> None:
        """Count a batch of keys (B, C) int64; the batch is copied."""
        columns = len(self._field_of)
        if keys_BC.ndim != 2 or keys_BC.shape[1] != columns or keys_BC.dtype != np.int64:
            raise VocabularyError(
                f"keys {keys_BC.dtype}{keys_BC.shape}: must be int64 (rows, {columns})"
            )
        self._pending.append(keys_BC.copy())
        self._pending_rows += len(keys_BC)
        if self._pending_rows >= 1 << 20:
            self.settle()

    def settle(self) -> list[tuple[Int64s, Int64s]]:
        """Return (sorted distinct keys, their counts) per field."""
        if self._pending:
            keys_BC = np.concatenate(self._pending)
            self._pending, self._pending_rows = [], 0
            self.counted = [
                merge_counts(old, np.unique(self._keys_of(f, keys_BC), return_counts=True))
                for f, old in enumerate(self.counted)
            ]
        return self.counted

    def _keys_of(self, field: int, keys_BC: Int64s) -> Int64s:
        """Return the keys of a field in a batch, (n,)."""
        own = self._field_of == field
        own[: self._singles] = False
        listed = keys_BC[:, own]
        if field >= self._singles:
            return listed[listed != 0]
        single = keys_BC[:, field]
        return np.concatenate([single, listed[listed != 0]]) if own.any() else single

    def fit(self, min_count: int = 1) -> Vocabulary:
        """Return the vocabulary of the keys seen at least `min_count` times."""
        return build(self.fields, [known_keys(k, c, min_count) for k, c in self.settle()])


def merge_counts(
    left: tuple[Int64s, Int64s], right: tuple[Int64s, NDArray[np.intp]]
) -> tuple[Int64s, Int64s]:
    """Return the sum of two (sorted keys, counts)."""
    keys, place = np.unique(np.concatenate([left[0], right[0]]), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    np.add.at(counts, place, np.concatenate([left[1], right[1].astype(np.int64)]))
    return keys, counts


def known_keys(keys: Int64s, counts: Int64s, min_count: int) -> Int64s:
    """Return the keys to know, most frequent first, so that hot rows share cache lines."""
    kept = counts >= min_count
    keys, counts = keys[kept], counts[kept]
    return keys[np.lexsort((keys, -counts))]


def build(fields: Sequence[str], known: Sequence[Int64s]) -> Vocabulary:
    """Return the vocabulary in which `known[f][i]` of field f has that field's row i + 1.

    Raises:
        VocabularyError: a key stands twice, or the keys defeat every set of multipliers.
    """
    for field, keys in zip(fields, known, strict=True):
        if len(np.unique(keys)) != len(keys):
            raise VocabularyError(f"field {field}: a key stands twice; every key has one row")
    rng = np.random.default_rng(20130101)  # fixed: the same keys give the same table
    for attempt in range(ATTEMPTS):
        mix = rng.integers(1 << 28, 1 << 29, 4, dtype=np.int64) * 2 - 1
        built = _attempt(tuple(fields), known, mix, spare=1 << (attempt // 2))
        if built is not None:
            return built
    raise VocabularyError(
        f"{sum(map(len, known))} keys could not be placed in {ATTEMPTS} attempts; keys must be "
        "hashes (Spark's xxhash64), not numbers chosen to collide"
    )


def bucket_choices(keys: Int64s, base: Int64s, mask: Int64s, mix: Int64s) -> tuple[Int64s, Int64s]:
    """Return the two buckets of each key; `layers/lookup.py` does the same in the graph.

    32-bit halves times 30-bit multipliers stay below 2**63: no overflow, undefined in C++.
    """
    low, high = keys & LOW_32, (keys >> 32) & LOW_32
    one = base + (((low * mix[0] + high * mix[1]) >> SHIFT) & mask)
    two = base + (((low * mix[2] + high * mix[3]) >> SHIFT) & mask)
    return one, two


def _attempt(
    fields: tuple[str, ...], known: Sequence[Int64s], mix: Int64s, spare: int
) -> Vocabulary | None:
    buckets = np.array([_power_of_two(len(k) / (WAYS * LOAD)) * spare for k in known], np.int64)
    base, sizes = np.cumsum(buckets) - buckets, tuple(len(k) + 1 for k in known)
    first = np.cumsum((0, *sizes[:-1]), dtype=np.int64)
    field = np.repeat(np.arange(len(known)), [len(k) for k in known])
    keys = np.concatenate(list(known))
    place = _place(*bucket_choices(keys, base[field], buckets[field] - 1, mix), int(buckets.sum()))
    if place is None:
        return None
    slots = np.empty((int(buckets.sum()), 2 * WAYS), np.int64)
    slots[:, :WAYS] = np.repeat([_stranger(k) for k in known], buckets)[:, None]
    slots[:, WAYS:] = np.repeat(first, buckets)[:, None]
    rank = np.arange(len(keys)) - np.repeat(
        np.cumsum(sizes) - sizes - np.arange(len(sizes)), np.array(sizes) - 1
    )
    slots[place // WAYS, place % WAYS] = keys
    slots[place // WAYS, WAYS + place % WAYS] = first[field] + 1 + rank
    return Vocabulary(fields=fields, sizes=sizes, slots=slots, base=base, mask=buckets - 1, mix=mix)


def _stranger(known: Int64s) -> int:
    """Return a key that is not known: an empty slot that held a known one could hide it."""
    candidates = np.arange(len(known) + 1, dtype=np.int64)
    return int(np.setdiff1d(candidates, known)[0])


def _power_of_two(least: float) -> int:
    return 1 << max(0, int(np.ceil(np.log2(max(least, 1)))))


def _place(one: Int64s, two: Int64s, buckets: int) -> Int64s | None:
    """Return a slot (bucket * WAYS + way) for every key, or None: cuckoo hashing, all keys at once.

    Each round every homeless key tries one of its two buckets. Free slots go to the first comers;
    of the others one per bucket takes the place of a resident, who then tries its other bucket.
    """
    slot = np.full(len(one), -1, np.int64)
    resident = np.full((buckets, WAYS), -1, np.int64)
    fill = np.zeros(buckets, np.int64)
    homeless, use_two = np.arange(len(one)), np.zeros(len(one), bool)
    for turn in range(ROUNDS):
        if not len(homeless):
            return slot
        target = np.where(use_two[homeless], two[homeless], one[homeless])
        order = np.argsort(target, kind="stable")
        homeless, target = homeless[order], target[order]
        rank = np.arange(len(target)) - np.searchsorted(target, target, side="left")
        way = fill[target] + rank
        housed, evicts = way < WAYS, (way >= WAYS) & (rank == np.maximum(WAYS - fill[target], 0))
        evicts &= turn % 2 == 1  # every other round, so that both buckets are tried first
        evicted = resident[target[evicts], (turn // 2) % WAYS]
        way[evicts] = (turn // 2) % WAYS
        settled = housed | evicts
        resident[target[settled], way[settled]] = homeless[settled]
        slot[homeless[settled]] = target[settled] * WAYS + way[settled]
        slot[evicted] = -1
        np.add.at(fill, target[housed], 1)
        homeless = np.concatenate([homeless[~settled], evicted])
        use_two[homeless] = ~use_two[homeless]
    return None
