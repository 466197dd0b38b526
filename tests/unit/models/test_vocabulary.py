"""The vocabulary equals a dictionary, for any 64-bit key."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import VocabularyError
from models.layers.lookup import Lookup
from models.vocabulary import KeyCounts, Vocabulary, bucket_choices, build

EXTREMES = (0, 1, -1, -(2**63), 2**63 - 1, 2**32, -(2**32))
any_key = st.one_of(st.sampled_from(EXTREMES), st.integers(-(2**63), 2**63 - 1))


def look_up(vocabulary: Vocabulary, keys: np.ndarray) -> np.ndarray:
    """Return the index within each field, (B, K)."""
    rows = Lookup(vocabulary)(torch.from_numpy(keys), torch.from_numpy(vocabulary.slots))
    return rows.numpy() - vocabulary.first


def as_dicts(known: list[np.ndarray]) -> list[dict[int, int]]:
    return [{int(k): i + 1 for i, k in enumerate(keys)} for keys in known]


@given(st.lists(st.lists(any_key, unique=True, max_size=60), min_size=1, max_size=4), st.data())
@settings(deadline=None, max_examples=80)
def test_lookup_equals_a_dictionary(fields: list[list[int]], data: st.DataObject) -> None:
    known = [np.array(keys, np.int64) for keys in fields]
    vocabulary = build([f"f{i}" for i in range(len(fields))], known)
    asked = [*EXTREMES, *data.draw(st.lists(any_key, max_size=20)), *(k for f in fields for k in f)]
    keys = np.array(asked, np.int64)[:, None].repeat(len(fields), 1)
    expected = [[d.get(int(k), 0) for d in as_dicts(known)] for k in asked]
    np.testing.assert_array_equal(look_up(vocabulary, keys), expected)


def test_many_keys_are_all_found_and_strangers_are_not() -> None:
    rng = np.random.default_rng(0)
    known = [rng.permutation(np.unique(rng.integers(-(2**63), 2**63 - 1, n))) for n in (20_000, 7)]
    vocabulary = build(["large", "small"], known)
    assert (look_up(vocabulary, np.stack([known[0]] * 2, 1))[:, 0] == np.arange(1, 20_001)).all()
    strangers = rng.integers(-(2**63), 2**63 - 1, (20_000, 2))
    assert (look_up(vocabulary, strangers) == 0).all()
    assert vocabulary.rows == 20_001 + 8


@pytest.mark.parametrize("step", [1, 2**21, 2**32, 2**40])
def test_keys_in_a_regular_pattern_are_placed(step: int) -> None:
    known = np.arange(5000, dtype=np.int64) * step
    vocabulary = build(["f"], [known])
    assert (look_up(vocabulary, known[:, None])[:, 0] == np.arange(1, 5001)).all()


def test_keys_made_to_collide_are_refused_and_not_lost() -> None:
    # 9 keys cannot share the 8 slots of two buckets; these share them for every multiplier.
    with pytest.raises(VocabularyError, match="twice"):
        build(["f"], [np.zeros(9, np.int64)])


def test_rows_are_by_frequency_and_rare_keys_are_unknown() -> None:
    counts = KeyCounts(["f", "g"])
    counts.update(np.array([[5, 1], [7, 1], [7, 2]], np.int64))
    counts.update(np.array([[7, 3], [9, 3], [5, 3]], np.int64))
    vocabulary = counts.fit(min_count=2)
    assert vocabulary.sizes == (3, 3)
    asked = np.array([[7, 3], [5, 1], [9, 2]], np.int64)
    np.testing.assert_array_equal(look_up(vocabulary, asked), [[1, 1], [2, 2], [0, 0]])


def test_a_field_with_no_known_key_works() -> None:
    vocabulary = build(["f"], [np.empty(0, np.int64)])
    assert look_up(vocabulary, np.array([[0], [3]], np.int64)).tolist() == [[0], [0]]


def test_equal_keys_give_equal_tables() -> None:
    known = np.arange(1000, dtype=np.int64) * 7_777_777_777
    np.testing.assert_array_equal(build(["f"], [known]).slots, build(["f"], [known.copy()]).slots)


def test_numpy_and_torch_choose_the_same_buckets() -> None:
    vocabulary = build(["f"], [np.arange(100, dtype=np.int64)])
    keys = np.array(EXTREMES, np.int64)
    for bucket in bucket_choices(keys, vocabulary.base, vocabulary.mask, vocabulary.mix):
        assert ((bucket >= 0) & (bucket < len(vocabulary.slots))).all()


def test_keys_of_another_type_are_refused() -> None:
    with pytest.raises(VocabularyError, match="int64"):
        KeyCounts(["f"]).update(np.zeros((3, 1), np.int32))
