"""Negatives that are left out change what is read, and nothing of what it is read for."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from feature_store.definition import Categorical
from feature_store.features.sampling import sample_negatives
from feature_store.home import Home
from jobs.context import Context
from jobs.night.prepare import prepare
from jobs.training.freezing import describe, fit_recipe
from jobs.training.held_out import held_out_rows
from jobs.training.judge import params_of
from jobs.training.recipe import recipe_of
from jobs.training.training_set import TrainingSet, freeze, local_path, set_table
from models.fit.frozen import training_files
from models.training.data import TrainingFiles, read_all
from models.training.trainer import train
from tests.toy import FIRST_DAY, Row, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from models.fit.recipe import FitRecipe

DAYS = toy_days(4)
LEARNT, LATER = DAYS[:3], DAYS[3:]
USERS, ITEMS = 60, 16
PER_DAY = USERS * ITEMS
RATE = 1 / 16
SHARE = 0.125


def rows() -> list[Row]:
    """960 rows a day; each item has its own rate of clicks, the same every day: 1 in 16 of all."""
    every = [3, 5, *[30] * (ITEMS - 2)]
    return [
        Row(
            day=day,
            user=f"u{user}",
            item=f"i{item}",
            clicked=(7 * user + 11 * day + 13 * item) % every[item] == 0,
            click_known=20.0,
        )
        for day in range(len(DAYS))
        for user in range(USERS)
        for item in range(ITEMS)
    ]


@pytest.fixture(scope="module")
def context(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Context:
    features = (Categorical(name="user", column="user"), Categorical(name="item", column="item"))
    definition = toy_definition(rows(), features=features, histories=(), checks=())
    made = Context.open(definition, Home.of(tmp_path_factory.mktemp("home")), spark)
    prepare(made, DAYS, lambda _: None)
    return made


@pytest.fixture(scope="module")
def whole(context: Context) -> TrainingSet:
    return freeze(context, LEARNT, LATER)


def of_share(context: Context, share: float) -> Context:
    """Return the pipeline as it is when it learns from this share of the negatives."""
    training = replace(
        context.definition.training, negative_downsampling=share, epochs=4, learning_rate=0.02
    )
    definition = changed(context.definition, training=training)
    return Context.open(definition, context.home, context.spark)


@pytest.fixture(scope="module")
def sampled(context: Context) -> TrainingSet:
    return freeze(of_share(context, SHARE), LEARNT, LATER)


def table(frozen: TrainingSet, split: str) -> pa.Table:
    return pq.read_table(list(frozen.splits[split].files), partitioning=None)


def listed(frozen: TrainingSet, split: str, label: float) -> list[tuple[object, ...]]:
    """Return (day, user, item) of the rows of a split that have this label, in their order."""
    found = table(frozen, split)
    columns = (found[name].to_pylist() for name in ("ds", "k_user", "k_item", "y_clicked"))
    return [row[:3] for row in zip(*columns, strict=True) if row[3] == label]


def test_all_positives_are_kept_and_about_the_share_of_negatives_that_weigh_as_many(
    whole: TrainingSet, sampled: TrainingSet
) -> None:
    assert listed(sampled, "train", 1) == listed(whole, "train", 1)
    kept, negatives = listed(sampled, "train", 0), listed(whole, "train", 0)
    assert set(kept) < set(negatives)
    expected = len(negatives) * SHARE
    deviation = math.sqrt(expected * (1 - SHARE))
    assert abs(len(kept) - expected) < 4 * deviation
    found = table(sampled, "train")
    assert found.schema.field("weight").type == pa.float32()
    weights = found["weight"].to_numpy()
    np.testing.assert_array_equal(weights, np.where(found["y_clicked"].to_numpy() == 1, 1, 8))
    # Each kept negative weighs 8: the sum is as far off as their number is, eight times.
    assert abs(weights.sum() - whole.splits["train"].rows) < 4 * 8 * deviation
    counts = sampled.splits["train"].labels["clicked"]
    assert (counts.rows, counts.weight) == (len(weights), weights.sum())
    assert counts.positives == whole.splits["train"].labels["clicked"].positives


def test_what_is_kept_is_spread_over_the_order_that_rows_are_shuffled_into(
    whole: TrainingSet, sampled: TrainingSet
) -> None:
    place = {row: i for i, row in enumerate(listed(whole, "train", 0))}
    places = np.array([place[row] for row in listed(sampled, "train", 0)]) / len(place)
    assert (np.diff(places) > 0).all()
    quarters = np.bincount((places * 4).astype(int), minlength=4) / len(places)
    assert quarters == pytest.approx([0.25] * 4, abs=4 * math.sqrt(0.25 * 0.75 / len(places)))


@pytest.mark.parametrize("split", ["valid", "eval"])
def test_rows_to_stop_by_and_to_judge_by_are_whole(
    whole: TrainingSet, sampled: TrainingSet, split: str
) -> None:
    found = table(sampled, split)
    assert set(found["weight"].to_pylist()) == {1.0}
    assert found.drop(["weight"]).equals(table(whole, split))
    assert sampled.splits[split].labels["clicked"].base_rate == pytest.approx(
        whole.splits[split].labels["clicked"].base_rate
    )


def test_a_larger_share_holds_all_that_a_smaller_one_does(
    context: Context, whole: TrainingSet, sampled: TrainingSet
) -> None:
    more = freeze(of_share(context, 0.4), LEARNT, LATER)
    assert set(listed(sampled, "train", 0)) < set(listed(more, "train", 0))
    assert set(listed(more, "train", 0)) < set(listed(whole, "train", 0))
    assert len({whole.id, sampled.id, more.id}) == 3


def test_the_same_share_is_the_same_set_and_all_of_them_the_set_without_a_share(
    context: Context, whole: TrainingSet, sampled: TrainingSet
) -> None:
    again = freeze(of_share(context, SHARE), LEARNT, LATER)
    assert again.is_reused
    assert (again.id, again.splits) == (sampled.id, sampled.splits)
    assert sampled.manifest["negative_downsampling"] == SHARE
    every = freeze(of_share(context, 1.0), LEARNT, LATER)
    assert (every.id, every.is_reused) == (whole.id, True)
    assert "negative_downsampling" not in whole.manifest
    assert "weight" not in table(whole, "train").column_names


def test_a_row_of_which_any_label_is_true_is_kept(spark: SparkSession) -> None:
    told = [(1.0, 0.0), (0.0, 1.0), (1.0, None), (None, 1.0), (0.0, 0.0), (0.0, None), (None, 0.0)]
    listed = [
        (FIRST_DAY + timedelta(days=day), f"u{i}_{place}", click, order)
        for day in range(2)
        for i in range(60)
        for place, (click, order) in enumerate(told)
    ]
    frame = spark.createDataFrame(listed, "ds date, user string, y_click float, y_order float")
    kept = sample_negatives(
        frame, ["user"], ["y_click", "y_order"], share=0.1, where=F.col("ds") == FIRST_DAY
    ).collect()
    later = [row["_weight"] for row in kept if row["ds"] != FIRST_DAY]
    assert later == [1.0] * (60 * 7)
    first = [row for row in kept if row["ds"] == FIRST_DAY]
    positive = [row for row in first if 1.0 in (row["y_click"], row["y_order"])]
    assert [row["_weight"] for row in positive] == [1.0] * (60 * 4)
    others = [row["_weight"] for row in first if row not in positive]
    assert set(others) == {10.0}
    assert abs(len(others) - 18) < 4 * math.sqrt(18 * 0.9)


@pytest.fixture(scope="module")
def recipe(context: Context, sampled: TrainingSet) -> FitRecipe:
    definition = of_share(context, SHARE).definition
    location = local_path(context.warehouse.location(set_table(sampled.id)))
    return fit_recipe(definition, recipe_of(definition, compiled=False), sampled, location)


def test_the_baseline_and_what_is_told_are_of_the_whole(
    whole: TrainingSet, sampled: TrainingSet, recipe: FitRecipe
) -> None:
    assert whole.splits["train"].labels["clicked"].base_rate == RATE
    (baseline,) = held_out_rows(recipe, "eval").base_rates
    assert baseline == pytest.approx(RATE, rel=0.2)
    counts = sampled.splits["train"].labels["clicked"]
    assert counts.positives / counts.rows > 3 * RATE, "what it would be of the rows alone"
    of_train = f"train {counts.rows:,} rows ({baseline:.1%} of {counts.weight:,.0f} weighted)"
    assert f"{of_train}, valid {PER_DAY} rows (" in describe(sampled)
    assert "weighted" not in describe(whole)
    assert params_of(recipe)["negative_downsampling"] == SHARE


def without_weights(files: TrainingFiles, folder: Path) -> TrainingFiles:
    """Return a copy of files in which each row counts once."""
    copies = []
    for place, file in enumerate(files.files):
        found = pq.read_table(file, partitioning=None).drop(["weight"])
        copies.append(folder / f"{place}.parquet")
        pq.write_table(found, copies[-1])
    return TrainingFiles.of(copies)


def test_a_model_of_the_sample_is_calibrated_on_the_whole(
    recipe: FitRecipe, tmp_path: Path
) -> None:
    import torch

    learnt, valid, later = (training_files(recipe, s) for s in ("train", "valid", "eval"))
    held_out = read_all(later, recipe.signature)
    options: dict[str, Any] = {"config": replace(recipe.train_config, device="cpu")}

    def mean_score(files: TrainingFiles) -> float:
        model = train("lr", None, recipe.signature, files, valid, **options).module
        with torch.no_grad():
            logits = model(torch.from_numpy(held_out.keys), torch.from_numpy(held_out.values))
        return float(torch.sigmoid(logits).mean())

    assert held_out.labels.mean() == pytest.approx(RATE)
    # An eighth of 1,800 negatives is 225 or so: the base rate is 6 % off, give or take.
    assert mean_score(learnt) == pytest.approx(RATE, rel=0.2)
    assert mean_score(without_weights(learnt, tmp_path)) > 3 * RATE
