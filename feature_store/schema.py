"""Names of tables and of the columns that every pipeline shares."""

from __future__ import annotations

EVENTS = "events"
QUARANTINE = "quarantine"
TILES = "tiles"
FEATURES = "features"
SCORES = "scores"
LEDGER = "ledger"
LINEAGE = "lineage"
QUALITY = "quality"
PLANS = "plans"
CLAIMS = "claims"
TRAINING_SETS = "training_sets"

DS = "ds"
RUN_ID = "run_id"
SCORE = "score"


def lookup_table(name: str) -> str:
    """Return the table name of a lookup."""
    return f"lookup_{name}"
