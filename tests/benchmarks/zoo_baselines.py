"""What every model of the zoo is to be better than, on the same rows.

Each takes the splits' rows and returns the probability of every test row. LightGBM is not among our
packages: where it is not installed it is left out, and the benchmark says so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.training.data import Rows

Floats = NDArray[np.float64]
Baseline = Callable[[Mapping[str, Rows], tuple[str, ...]], Floats]

_PRIOR_ROWS = 20.0
"""A value's own rate is drawn to the base rate as by so many more rows of it."""


def base_rate(rows: Mapping[str, Rows], fields: tuple[str, ...]) -> Floats:
    """Return the share of positives among the training rows, for every row."""
    return np.full(len(rows["test"].labels), rows["train"].labels[:, 0].mean(dtype=np.float64))


def popularity(rows: Mapping[str, Rows], fields: tuple[str, ...]) -> Floats:
    """Return the share of positives among the training rows of a row's item, drawn to the mean."""
    place = next(i for i, name in enumerate(fields) if name.startswith("item"))
    labels = rows["train"].labels[:, 0].astype(np.float64)
    items, codes = np.unique(rows["train"].keys[:, place], return_inverse=True)
    positives, counts = np.bincount(codes, labels), np.bincount(codes)
    rates = (positives + _PRIOR_ROWS * labels.mean()) / (counts + _PRIOR_ROWS)
    wanted = rows["test"].keys[:, place]
    found = np.searchsorted(items, wanted).clip(max=len(items) - 1)
    return np.where(items[found] == wanted, rates[found], labels.mean())


def lightgbm(rows: Mapping[str, Rows], fields: tuple[str, ...]) -> Floats:
    """Return what gradient boosting over the fields as categories gives; stopped on `valid`."""
    import lightgbm as lgb

    known = [np.unique(rows["train"].keys[:, i]) for i in range(len(fields))]

    def codes(split: str) -> Floats:
        keys = rows[split].keys
        coded = np.empty(keys.shape)
        for i, values in enumerate(known):
            found = np.searchsorted(values, keys[:, i]).clip(max=len(values) - 1)
            # A value that training did not see is missing, as LightGBM knows it.
            coded[:, i] = np.where(values[found] == keys[:, i], found, np.nan)
        return coded

    def data(split: str, reference: lgb.Dataset | None = None) -> lgb.Dataset:
        every = list(range(len(fields)))
        labels = rows[split].labels[:, 0]
        return lgb.Dataset(
            codes(split), labels, categorical_feature=every, reference=reference,
            free_raw_data=False,
        )  # fmt: skip

    train = data("train")
    settings = {
        "objective": "binary", "learning_rate": 0.05, "num_leaves": 63, "num_threads": 1,
        "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 1, "seed": 0,
        "deterministic": True, "verbose": -1,
    }  # fmt: skip
    booster = lgb.train(
        settings, train, 2000, valid_sets=[data("valid", train)],
        callbacks=[lgb.early_stopping(50, verbose=False)],
    )  # fmt: skip
    return np.asarray(booster.predict(codes("test")))


BASELINES: dict[str, Baseline] = {
    "base_rate": base_rate,
    "popularity": popularity,
    "lightgbm": lightgbm,
}


def missing(name: str) -> bool:
    """Whether a baseline needs what is not installed here."""
    return name == "lightgbm" and importlib.util.find_spec("lightgbm") is None
