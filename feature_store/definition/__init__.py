"""What a pipeline is: frozen, typed, checked when it is built, and digested part by part.

Nothing here imports Spark or torch, so a scheduler, the command line and a GPU node can all read
a definition at no cost.
"""

from feature_store.definition.definition import Definition
from feature_store.definition.history import History, Tiling
from feature_store.definition.label import (
    Label,
    Outcome,
    label_record,
    label_words,
    labels_agree,
    recorded_labels,
)
from feature_store.definition.lookup import Lookup
from feature_store.definition.parts import (
    Aggregate,
    Categorical,
    Check,
    CheckKind,
    Column,
    Cross,
    Derived,
    Dtype,
    Feature,
    Gate,
    Known,
    MultiValued,
    Numeric,
    Part,
    Setting,
    Snapshots,
    Source,
    Stage,
    StreamKind,
    Training,
    Transform,
    json_digest,
    plain,
    taken,
)
from feature_store.definition.row_type import RowType
from feature_store.definition.sequence import Sequence
from feature_store.definition.spine import Active, Product, Rows, Spine, Top
from feature_store.definition.stream import Stream

__all__ = [
    "Active",
    "Aggregate",
    "Categorical",
    "Check",
    "CheckKind",
    "Column",
    "Cross",
    "Definition",
    "Derived",
    "Dtype",
    "Feature",
    "Gate",
    "History",
    "Known",
    "Label",
    "Lookup",
    "MultiValued",
    "Numeric",
    "Outcome",
    "Part",
    "Product",
    "RowType",
    "Rows",
    "Sequence",
    "Setting",
    "Snapshots",
    "Source",
    "Spine",
    "Stage",
    "Stream",
    "StreamKind",
    "Tiling",
    "Top",
    "Training",
    "Transform",
    "json_digest",
    "label_record",
    "label_words",
    "labels_agree",
    "plain",
    "recorded_labels",
    "taken",
]
