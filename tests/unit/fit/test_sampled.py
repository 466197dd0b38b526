"""A recipe whose negatives were left out tells base rates of the whole; any other is as it was."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from feature_store.errors import NightscoreError
from jobs.training.evaluate import evaluate
from jobs.training.freezing import describe
from jobs.training.held_out import held_out_rows
from jobs.training.judge import metrics_of, params_of
from jobs.training.training_set import (
    LabelCounts,
    SplitFiles,
    TrainingSet,
    check_classes,
    is_sampled,
)
from models.fit.recipe import FitRecipe, read_recipe
from tests.toy import changed, toy_definition


def sampled(recipe: FitRecipe) -> FitRecipe:
    """Return the recipe as it is of a set of which most negatives were left out."""
    train = dataclasses.replace(recipe.splits["train"], labels={"click": (98_000.5, 1200)})
    return dataclasses.replace(
        recipe,
        splits={**recipe.splits, "train": train},
        data={**recipe.data, "negative_downsampling": 0.1},
    )


def test_the_baseline_is_of_the_whole_once_the_recipe_is_read_again(
    recipe: FitRecipe, tmp_path: Path
) -> None:
    read = read_recipe(sampled(recipe).write(tmp_path))
    assert read.splits == sampled(recipe).splits
    held_out = held_out_rows(read, "eval")
    assert held_out.base_rates == (1200 / 98_000.5,)
    labels = np.concatenate([rows.labels[:, 0] for rows in held_out.parts()])
    found = evaluate(labels, np.full(len(labels), 0.5), base_rate=held_out.base_rates[0])
    rate, yes = 1200 / 98_000.5, labels.mean()
    assert found.baseline_logloss == pytest.approx(
        -(yes * np.log(rate) + (1 - yes) * np.log(1 - rate)), rel=1e-5
    )


def test_the_registry_is_told_the_share_and_the_rows_that_were_read(recipe: FitRecipe) -> None:
    assert params_of(sampled(recipe))["negative_downsampling"] == 0.1
    assert metrics_of({}, sampled(recipe))["train_rows"] == 2400
    assert "negative_downsampling" not in params_of(recipe)


def test_a_recipe_of_all_rows_counts_them_as_it_did_before_there_were_others(
    recipe: FitRecipe,
) -> None:
    (rows, yes) = json.loads(recipe.to_text())["recipe"]["splits"]["train"]["labels"]["click"]
    assert (rows, type(rows), type(yes)) == (2400, int, int)
    counts = LabelCounts(rows=2400, positives=600)
    assert (counts.whole, type(counts.whole), counts.base_rate) == (2400, int, 0.25)


def split(**labels: LabelCounts) -> SplitFiles:
    return SplitFiles(files=(), rows=12_345, labels=labels)


def told(**labels: LabelCounts) -> str:
    plain = LabelCounts(rows=500, positives=50, weight=500.0)
    splits = {"train": split(**labels), "valid": split(**dict.fromkeys(labels, plain))}
    return describe(
        TrainingSet(id="x", labels=tuple(labels), splits=splits, manifest={}, is_reused=False)
    )


def test_a_person_is_told_what_the_rows_stand_for() -> None:
    one = LabelCounts(rows=12_345, positives=9_604, weight=98_000.2)
    assert told(click=one) == (
        "training set x written: train 12,345 rows (9.8% of 98,000 weighted), "
        "valid 12,345 rows (10.0%)"
    )
    assert told(click=one, buy=dataclasses.replace(one, weight=None)) == (
        "training set x written: train 12,345 rows (click 9.8% of 98,000 weighted, buy 77.8% of "
        "12,345), valid 12,345 rows (click 10.0% of 500, buy 10.0% of 500)"
    )


def test_a_share_that_leaves_no_negative_is_told_with_what_to_raise() -> None:
    training = dataclasses.replace(toy_definition(()).training, negative_downsampling=1e-9)
    definition = changed(toy_definition(()), training=training)
    assert is_sampled(definition)
    assert not is_sampled(toy_definition(()))
    none_left = LabelCounts(rows=30, positives=30, weight=30.0)
    with pytest.raises(
        NightscoreError, match=r"is True in all 30 rows.*raise negative_downsampling, the"
    ):
        check_classes(definition, "train", "clicked", none_left)
    with pytest.raises(NightscoreError, match=r"change the label in the definition$"):
        check_classes(definition, "valid", "clicked", none_left)


def test_a_pipeline_that_leaves_none_out_has_the_digests_it_had() -> None:
    """The field says nothing of rows, features and scores; only of what is learned from."""
    definition = toy_definition(())
    training = dataclasses.replace(definition.training, negative_downsampling=0.1)
    other = changed(definition, training=training)
    for part in ("features", "encoding", "scores"):
        assert other.digest(part) == definition.digest(part)
