"""The features of a case by hand-written SQL in DuckDB: one process, one database file.

    python -m tests.benchmarks.features_duckdb REQUEST.json

The request names the pipeline, the folder of the delivered files, the day of each split, the folder
to work in, threads and memory. The last line printed is JSON: seconds, CPU seconds and rows of each
step. Needs the extra `bench` and nothing else of ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

STEPS = ("ingest", "tiles", "features", "training_set")
_SQL = Path(__file__).with_name("sql")
_READABLE_KEYS = "CREATE OR REPLACE MACRO as_key(word) AS word"
"""Categories as they are: the hash of one engine cannot be compared with that of another."""
_ROWS = {
    "features": "SELECT count(*) FROM features",
    "training_set": "SELECT count(*) FROM 'training_set/*/*.parquet'",
}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Do all steps in the folder of the request and return what they took.

    Raises:
        ImportError: the extra `bench` is not installed.
    """
    import duckdb

    folder = Path(request["folder"])
    folder.mkdir(parents=True)
    os.chdir(folder)
    steps: dict[str, dict[str, Any]] = {}
    config = {"threads": request["threads"], "memory_limit": request["memory"]}
    with duckdb.connect(str(folder / "shop.duckdb"), config=config) as database:
        database.execute("SET VARIABLE delivered = ?", [request["delivered"]])
        database.execute(_sql("macros"))
        database.execute("CREATE TABLE days (split VARCHAR, ds DATE)")
        database.executemany("INSERT INTO days VALUES (?, ?)", list(request["splits"].items()))
        for name, which in (("first_scored", "min"), ("last_scored", "max")):
            database.execute(f"SET VARIABLE {name} = (SELECT {which}(ds) FROM days)")
        if request["is_compared"]:
            database.execute(_READABLE_KEYS)
        for step in STEPS:
            start, cpu = time.perf_counter(), time.process_time()
            database.execute(_sql(f"{request['pipeline']}/{step}"))
            # On disk, as a commit of ours is.
            database.execute("CHECKPOINT")
            spent = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
            steps[step] = spent
        rows = {step: database.execute(sql).fetchall()[0][0] for step, sql in _ROWS.items()}
        if request["is_compared"]:
            database.execute("COPY features TO 'features.parquet' (FORMAT parquet)")
        counts = _counts(database, request["pipeline"]) if request["is_compared"] else {}
    return {"steps": steps, "rows": rows, "counts": counts, "duckdb": duckdb.__version__}


def _counts(database: Any, pipeline: str) -> dict[str, int]:
    """Return how many events of each stream hold now, and how many rows are in quarantine."""
    streams = {"shop_ads": ("impressions", "clicks"), "shop_reorder": ("orders",)}[pipeline]
    sql = {
        **{
            f"events of shop_{name}": f"SELECT count(*) FROM {name} WHERE until IS NULL"
            for name in streams
        },
        **{
            f"quarantine of shop_{name}": f"SELECT count(*) FROM quarantine WHERE stream = '{name}'"
            for name in streams
        },
    }
    return {what: database.execute(text).fetchall()[0][0] for what, text in sql.items()}


def _sql(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


if __name__ == "__main__":
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
