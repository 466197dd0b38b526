"""What a pipeline is: frozen, typed, checked when it is built, and digested part by part.

Nothing here imports Spark or torch, so a scheduler, the command line and a GPU node can all read
a definition at no cost.
"""

from feature_store.definition.definition import Definition
from feature_store.definition.history import History, Tiling
from feature_store.definition.parts import (
    Aggregate,
    Categorical,
    Check,
    CheckKind,
    Column,
    Cross,
    Dtype,
    Gate,
    Known,
    Label,
    Lookup,
    Numeric,
    Part,
    Setting,
    Snapshots,
    Source,
    Stage,
    Training,
    Transform,
    json_digest,
    plain,
    taken,
)
from feature_store.definition.spine import Rows
from feature_store.definition.stream import Stream

__all__ = [
    "Aggregate",
    "Categorical",
    "Check",
    "CheckKind",
    "Column",
    "Cross",
    "Definition",
    "Dtype",
    "Gate",
    "History",
    "Known",
    "Label",
    "Lookup",
    "Numeric",
    "Part",
    "Rows",
    "Setting",
    "Snapshots",
    "Source",
    "Stage",
    "Stream",
    "Tiling",
    "Training",
    "Transform",
    "json_digest",
    "plain",
    "taken",
]
