"""How fast features in Delta become scores in Delta, beside the bare model and the usual way.

    make bench SUITE=scoring JSON=scoring.json

One day of `clicks` (26 categorical and 13 numeric fields), DCNv2 with embedding_dim 16, 3 cross
layers and 400-400-400. Interleaved in one run:

* bare: the compiled model over arrays in memory, one single-threaded process per core;
* nightscore: Delta features -> keys and values in the JVM -> `mapInArrow` -> Delta scores;
* predict_batch_udf: the same rows through Spark's own helper and the eager f32 model, to Delta.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feature_store.home import Home
from tests.benchmarks.measure import interleaved, machine, medians, print_table, write_json

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.context import Context
    from jobs.registry.model_registry import ModelRef

TRAIN_ROWS = 200_000
BARE_ROWS = 200_000
DAY = date(2026, 1, 2)


@dataclass(frozen=True)
class Stage:
    """What every contender works on."""

    context: Context
    model: ModelRef
    rows: int
    day: date = DAY


def build_features_day(context: Context) -> int:
    """Write one day of features and return its rows; earlier days are not needed for speed."""
    from feature_store.events.quarantine import good_rows, judge_rows
    from feature_store.features.features import build_features
    from feature_store.schema import FEATURES
    from feature_store.tables.inputs import Inputs

    definition = context.definition
    raw = definition.stream.source.read(context.spark, [DAY])
    good = good_rows(judge_rows(raw, definition.stream), definition.stream)
    frame = build_features(good, None, {}, definition, [DAY])
    inputs = {DAY: Inputs(definition="benchmark", code="1")}
    return context.warehouse.replace_days(FEATURES, frame, inputs)[DAY].rows


def train_model(context: Context, folder: Path, rows: int = TRAIN_ROWS) -> ModelRef:
    """Return a DCNv2 bundle: one epoch on a sample, enough for a real vocabulary."""
    from pyspark.sql import functions as F

    from feature_store.features.encode import widen
    from feature_store.schema import FEATURES
    from jobs.registry.model_registry import ModelRef
    from jobs.training.recipe import signature_of
    from jobs.training.training_set import local_path
    from models.scoring import bundle
    from models.training.config import TrainConfig
    from models.training.data import TrainingFiles
    from models.training.trainer import train
    from models.zoo.dcnv2 import DCNv2Config

    definition = context.definition
    sample = context.warehouse.read(FEATURES).limit(rows)
    label = (F.rand(7) < 0.2).cast("float").alias(f"y_{definition.label_names[0]}")
    wide = widen(sample.withColumn("_label", label), definition, "_label")
    wide = wide.withColumnRenamed("_label", f"y_{definition.label_names[0]}")
    wide.write.parquet(str(folder / "train"))
    files = context.spark.read.parquet(str(folder / "train")).inputFiles()
    training = TrainingFiles(files=tuple(local_path(f) for f in files), rows=rows)
    trained = train(
        "dcnv2",
        DCNv2Config(embedding_dim=16, cross_layers=3, hidden=(400, 400, 400)),
        signature_of(definition),
        training,
        training,
        TrainConfig(epochs=1),
    )
    keys, values = arrays(context, 64)
    saved = bundle.save(
        folder / "bundle",
        trained,
        signature=trained.signature,
        metrics={},
        data={},
        encoding_digest=definition.digest("encoding"),
        golden_keys=keys,
        golden_values=values,
    )
    return ModelRef(
        pipeline=definition.name,
        version=1,
        model="dcnv2",
        path=str(saved.path),
        digest=saved.digest,
        metrics={},
        aliases=(),
    )


def arrays(context: Context, rows: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return (keys (rows, K) int64, values (rows, N) float32) of the first rows of features."""
    from feature_store.features.encode import KEYS, VALUES, pack
    from feature_store.schema import FEATURES

    packed = pack(context.warehouse.read(FEATURES).limit(rows), context.definition).toPandas()
    keys, values = np.stack(list(packed[KEYS])), np.stack(list(packed[VALUES]))
    return keys.astype(np.int64), values.astype(np.float32)


def ours(stage: Stage) -> Callable[[], int]:
    """Score as a night does, into the scores table."""
    from feature_store.schema import SCORES
    from feature_store.tables.inputs import Inputs
    from jobs.night.score import score_frame

    return _to_delta(
        stage, lambda df: score_frame(df, stage.context.definition, stage.model), SCORES, Inputs
    )


def usual(stage: Stage) -> Callable[[], int]:
    """Score with `predict_batch_udf` and the eager model, into the same kind of table."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import FloatType

    from feature_store.features.encode import KEYS, VALUES, pack
    from feature_store.tables.inputs import Inputs

    path, digest = stage.model.path, stage.model.digest
    definition = stage.context.definition

    def make_predict() -> Callable[..., Any]:
        import torch

        from models.scoring.bundle import load_eager

        torch.set_num_threads(1)
        eager = load_eager(path, digest)

        def predict(keys: Any, values: Any) -> Any:
            with torch.inference_mode():
                logits = eager(
                    torch.from_numpy(np.ascontiguousarray(keys, dtype=np.int64)),
                    torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)),
                )
            return torch.sigmoid(logits[:, 0]).numpy()

        return predict

    shapes = [[len(definition.categorical_names())], [len(definition.numeric_names())]]
    udf: Any = predict_batch_udf(
        make_predict, return_type=FloatType(), batch_size=4096, input_tensor_shapes=shapes
    )

    def scored(df: DataFrame) -> DataFrame:
        packed = pack(df, definition).withColumn("score", udf(KEYS, VALUES))
        return packed.drop(KEYS, VALUES)

    return _to_delta(stage, scored, "scores_usual", Inputs)


def _to_delta(
    stage: Stage, score: Callable[[DataFrame], DataFrame], table: str, make_inputs: Any
) -> Callable[[], int]:
    from pyspark.sql import functions as F

    from feature_store.schema import FEATURES

    def run() -> int:
        frame = score(stage.context.warehouse.read(FEATURES, [stage.day]))
        frame = frame.withColumn("run_id", F.lit("benchmark"))
        key = (stage.day, "benchmark")
        inputs = {key: make_inputs(definition="benchmark", code="1")}
        return stage.context.warehouse.replace_runs(table, frame, inputs)[key].rows

    return run


@contextmanager
def bare(stage: Stage, folder: Path) -> Iterator[Callable[[], int]]:
    """Yield a function that scores all rows in one process per core, models loaded before."""
    keys, values = arrays(stage.context, min(BARE_ROWS, stage.rows))
    np.save(folder / "keys.npy", keys)
    np.save(folder / "values.npy", values)
    cores = os.cpu_count() or 1
    spawn = multiprocessing.get_context("spawn")
    pipes = [spawn.Pipe() for _ in range(cores)]
    workers = [
        spawn.Process(
            target=_bare_worker, args=(end, str(folder), stage.model.path, stage.model.digest)
        )
        for _, end in pipes
    ]
    for worker in workers:
        worker.start()
    for mine, _ in pipes:
        mine.recv()

    def run() -> int:
        share = stage.rows // cores
        for mine, _ in pipes:
            mine.send(share)
        return sum(mine.recv() for mine, _ in pipes)

    try:
        yield run
    finally:
        for mine, _ in pipes:
            mine.send(None)
        for worker in workers:
            worker.join()


def _bare_worker(pipe: Connection, folder: str, path: str, digest: str) -> None:
    from models.scoring.predict import predictor

    model = predictor(path, digest)
    keys = np.load(Path(folder, "keys.npy"))
    values = np.load(Path(folder, "values.npy"))
    pipe.send("ready")
    while (wanted := pipe.recv()) is not None:
        done = 0
        while done < wanted:
            count = min(len(keys), wanted - done)
            model.predict(keys[:count], values[:count])
            done += count
        pipe.send(done)


def parse() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", default=None)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse()
    os.environ["NIGHTSCORE_CLICKS_ROWS"] = str(args.rows)
    from feature_store.definitions import load
    from jobs.context import Context
    from jobs.machine.spark import spark_session

    before = machine()
    folder = Path(tempfile.mkdtemp(prefix="nightscore-bench-"))
    try:
        with spark_session("nightscore bench scoring") as spark:
            context = Context.open(load("clicks"), Home.of(folder / "home"), spark)
            start = time.perf_counter()
            rows = build_features_day(context)
            stage = Stage(context, train_model(context, folder), rows)
            print(f"{rows:,} rows and a model in {time.perf_counter() - start:.0f} s", flush=True)
            with bare(stage, folder) as run_bare:
                contenders = {
                    "bare compiled model": run_bare,
                    "nightscore, Delta to Delta": ours(stage),
                    "predict_batch_udf, eager f32": usual(stage),
                }
                found = interleaved(contenders, args.repeats)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report(found, rows, before, args.json)


def report(
    found: dict[str, list[float]], rows: int, before: dict[str, Any], path: str | None
) -> None:
    """Print the table and write the JSON."""
    middle = medians(found)
    best, slowest = next(iter(middle.values())), list(middle.values())[-1]
    table = [("way", "rows/s", "of bare", "x usual way", "spread")]
    for name, rate in middle.items():
        spread = f"{min(found[name]):,.0f}-{max(found[name]):,.0f}"
        table.append((name, f"{rate:,.0f}", f"{rate / best:.2f}", f"{rate / slowest:.2f}", spread))
    print_table(f"scoring {rows:,} rows, medians of {len(next(iter(found.values())))}", table)
    write_json(path, {"machine": before, "rows": rows, "rows_per_second": found, "median": middle})


if __name__ == "__main__":
    main()
