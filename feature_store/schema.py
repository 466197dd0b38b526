"""Names of tables and of the columns that every pipeline shares."""

from __future__ import annotations

from collections.abc import Sequence

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
RELEASED = "released"
TRAINING_SETS = "training_sets"

DS = "ds"
RUN_ID = "run_id"
SCORE = "score"
SPLIT = "split"
WEIGHT = "weight"
MODEL_NAME = "model_name"
MODEL_VERSION = "model_version"
PUBLISHED_AT = "published_at"
SOURCE_FILE = "source_file"
EVENT_TIME = "event_time"

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


STREAMS = "streams"
"""The folder of all streams' tables; so no pipeline may have this name."""


def stream_table(stream: str, table: str) -> str:
    """Return the name of a stream's table, which lies beside those of pipelines.

    Args:
        stream: the name of the stream.
        table: events, quarantine, tiles, refused or released.
    """
    return f"{STREAMS}/{stream}/{table}"


def is_of_stream(table: str) -> bool:
    """Whether a table belongs to a stream, and not to a pipeline."""
    return table.startswith(f"{STREAMS}/")


def kind_of(table: str) -> str:
    """Return what a table holds: its name without that of the stream it belongs to."""
    return table.rpartition("/")[2]


def beside(table: str, other: str) -> str:
    """Return the name of another table of whomever a table belongs to."""
    folder, slash, _ = table.rpartition("/")
    return f"{folder}{slash}{other}"


def score_columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of scores, one per label: `score` of one alone, else `score_<label>`."""
    return (SCORE,) if len(labels) == 1 else tuple(f"{SCORE}_{label}" for label in labels)
