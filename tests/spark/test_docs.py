"""What the docs show runs, and gives what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.features.encode import KEYS, VALUES, pack
from feature_store.schema import FEATURES
from jobs.night.ledger import scores_latest
from jobs.night.score import register_udf
from jobs.registry import model_registry

if TYPE_CHECKING:
    from tests.conftest import OpenToy

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_query_for_published_scores_gives_the_published_scores(
    open_published: OpenToy,
) -> None:
    context = open_published()
    (query,) = re.findall(r"```sql\n(.*?)```", (DOCS / "tables.md").read_text(), re.DOTALL)
    tables = context.warehouse.location("scores").rpartition("/")[0]
    found = context.spark.sql(query.replace("TABLES", tables))
    columns = ["ds", "user", "item", "run_id", "score", "model_version", "published_at"]
    rows, wanted = (frame.select(columns).collect() for frame in (found, scores_latest(context)))
    assert len(rows) == 480
    assert sorted(rows) == sorted(wanted)


def test_the_sql_function_gives_the_scores_that_the_night_gave(open_published: OpenToy) -> None:
    context = open_published()
    register_udf(context.spark, model_registry.champion(context.home, "toy"))
    pack(context.warehouse.read(FEATURES), context.definition).createOrReplaceTempView("packed")
    scored = f"SELECT ds, user, item, nightscore_score({KEYS}, {VALUES}) AS score FROM packed"
    found, columns = context.spark.sql(scored), ["ds", "user", "item", "score"]
    assert sorted(found.collect()) == sorted(scores_latest(context).select(columns).collect())
