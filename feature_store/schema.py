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
REFUSED = "refused"
TRAINING_SETS = "training_sets"

DS = "ds"
RUN_ID = "run_id"
SCORE = "score"
SPLIT = "split"
MODEL_NAME = "model_name"
MODEL_VERSION = "model_version"
PUBLISHED_AT = "published_at"
SOURCE_FILE = "source_file"
EVENT_TIME = "event_time"
KNOWN_AT = "known_at"

KEY_PREFIX = "k_"
VALUE_PREFIX = "v_"
LABEL_PREFIX = "y_"
SEGMENT_PREFIX = "s_"

# A definition may give no name that stands here, or that begins with _: those are for what a step
# adds to the rows while it works.
OF_EVENTS = (DS, SOURCE_FILE)
"""What rows of a source carry beside the declared columns."""
RESERVED = (DS, RUN_ID, SCORE, SPLIT, MODEL_NAME, MODEL_VERSION, PUBLISHED_AT)
"""What tables of features, scores and training rows carry beside keys and features."""
OF_TRAINING = (KEY_PREFIX, VALUE_PREFIX, LABEL_PREFIX, SEGMENT_PREFIX)
"""How the columns of a training set begin."""


def lookup_table(name: str) -> str:
    """Return the table name of a lookup."""
    return f"lookup_{name}"
