"""What a pipeline is made of: frozen and typed.

Nothing here imports Spark or torch, so a scheduler, the command line and a GPU node can all read
a definition at no cost.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Dtype = Literal["string", "int", "bigint", "double", "boolean", "timestamp", "date"]
NO_NUMBERS: tuple[Dtype, ...] = ("string", "date")
"""Types whose values are no numbers, to a model."""
Aggregate = Literal[
    "mean", "sum", "count", "days_since_last", "stddev", "min", "max", "first", "last", "distinct"
]
Transform = Literal["identity", "log1p"]
Normalize = Literal["NFC", "none"]
Stage = Literal["features", "scores"]
Severity = Literal["block", "warn"]
CheckKind = Literal["row_count", "not_null", "between", "in_set", "unique", "mean_between"]
Part = Literal["features", "encoding", "scores"]
StreamKind = Literal["log", "changes", "snapshots"]
Setting = int | float | bool | tuple[int, ...] | tuple[str, ...]


class Source(Protocol):
    """Where the rows of a day come from; implementations are frozen dataclasses."""

    def fingerprint(self, day: date) -> str:
        """Return a digest of what the day's rows are made of.

        Raises:
            SourceDayMissing: the source holds nothing for the day.
        """

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the raw rows of `days`.

        Columns: `ds` (date), every declared column (its declared type, or string where the source
        is text), and `source_file` (string).
        """


@runtime_checkable
class Snapshots(Protocol):
    """What a source of several snapshots has besides, for a stream of `kind="snapshots"`."""

    def snapshot_days(self) -> Sequence[date]:
        """Return the days of which there is a snapshot, in any order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """When a group of columns becomes known: `at` names the timestamp column (UTC) that says so.

    A group with `after_event=True` can never be a feature of its own row, only part of a history
    window or of the label.
    """

    name: str
    """What columns, labels and histories call the group."""
    at: str
    """A timestamp column of the same row (UTC)."""
    after_event: bool = False
    """Whether the group is known only after the event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of the source, with the rules a good row keeps."""

    name: str
    """What the source calls it."""
    dtype: Dtype
    """The type that its values become; one that cannot makes a bad row."""
    known: str
    """The known-at group that it belongs to."""
    nullable: bool = True
    """Whether a good row may lack it."""
    minimum: float | None = None
    """The least value of a good row; None: any."""
    maximum: float | None = None
    """The largest value of a good row; None: any."""
    normalize: Normalize = "NFC"
    """The Unicode form that text is brought into; `none` keeps it as it was delivered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Categorical:
    """A category, stored as it is; or, with `bounds`, the range that a number lies in.

    Bounds b1 < b2 < ... give the categories `<b1`, `b1..b2`, ..., `>=bn`: a range holds its lower
    bound, and not its upper one.
    """

    name: str
    """What the feature is called."""
    column: str
    """A source column, `lookup.column`, or a `Derived`."""
    bounds: tuple[float, ...] = field(default=(), metadata={"omit_default": True})
    """Where one range ends and the next begins; (): the value itself is the category."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Numeric:
    """A number; a null is a missing value. `transform` is applied when rows are encoded.

    Before it `offset` is subtracted, while the value still has all its digits: a model takes
    float32, in which seconds since 1970 come in steps of 128.
    """

    name: str
    """What the feature is called."""
    column: str
    """A source column, `lookup.column` or `Derived` that is a number."""
    transform: Transform = "identity"
    """`log1p`: the logarithm of 1 + its size, with its sign, for what is sometimes huge."""
    offset: float = field(default=0.0, metadata={"omit_default": True})
    """What is subtracted first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """A column computed of what is known of a row before its cut-off, for features to take.

    `expression` is SQL over `ds` (a date), columns of the row, columns of lookups (written
    `` `lookup.column` ``), what histories tell (such as `item_ctr_count_28d`) and whatever was
    derived before it: `pair_count_28d / user_count_28d`, `hour(planned_at)`, `dayofweek(ds)`. Where
    it cannot be evaluated, or is no value of its type, it is null.
    """

    name: str
    """What features call it."""
    expression: str
    """What it is, of columns that are known beforehand."""
    dtype: Dtype = "double"
    """What its value is cast to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cross:
    """A category made of several source columns together."""

    name: str
    """What the feature is called."""
    of: tuple[str, ...]
    """Source columns, or `lookup.column`s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiValued:
    """Several categories of one row, told as a text: tags, genres, words.

    The text is stored as it is. When rows are encoded it is split, blanks around a value are taken
    off, and what is left of it counts once, however often it is told: the first `length` values.
    """

    name: str
    """What the feature is called."""
    column: str
    """A source column, `lookup.column` or `Derived`, a text."""
    length: int
    """How many values count, at most."""
    separator: str = ","
    """What stands between two values."""
    like: str = ""
    """A categorical feature that is of the same values: a value has one vector in both. Empty:
    vectors of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One expectation on a day of `features` or of `scores`.

    `kind`: `row_count` (minimum, maximum rows), `not_null`, `between` (minimum, maximum),
    `in_set` (values), `unique` (columns together), `mean_between` (minimum, maximum).
    `mostly` is the share that must keep the rule (not for row_count, unique, mean_between): of all
    rows for not_null, else of those that have a value. A check of values that finds none fails.
    """

    stage: Stage
    """What is looked at: features before they are scored, or scores before they are published."""
    kind: CheckKind
    """What must hold."""
    columns: tuple[str, ...] = ()
    """One column; none of a `row_count`; one or more of `unique`."""
    minimum: float | None = None
    """The least that is allowed; None: no limit."""
    maximum: float | None = None
    """The most that is allowed; None: no limit."""
    values: tuple[str, ...] = ()
    """What `in_set` allows, as text."""
    mostly: float = 1.0
    """Above 0, and at most 1: all."""
    severity: Severity = field(default="block", metadata={"omit_default": True})
    """What a failure does: `block` publishes nothing, `warn` is said on the night's page."""

    @property
    def title(self) -> str:
        """A short, stable name of the check, such as `between(temp)`."""
        return f"{self.kind}({', '.join(self.columns)})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """How the pipeline's model is trained; `model` is a name in the model registry."""

    model: str = "finalmlp"
    """Which model of the zoo."""
    epochs: int = 10
    """Passes over the training days, at most."""
    batch_size: int | None = None
    """Rows per step; None: a power of two, of 256 to 4096, that gives 200 steps an epoch."""
    learning_rate: float = 1e-3
    """What it begins with, after the warm-up."""
    optimizer: Literal["adam", "adamw", "adagrad", "lion"] = "adam"
    """What the weights are moved by."""
    schedule: Literal["plateau", "cosine"] = "plateau"
    """How the learning rate falls: where an epoch gained nothing, or all the way to the last."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises at first."""
    max_grad_norm: float | None = None
    """Norm that longer gradients are cut to; None: none is cut."""
    average: float = 0.0
    """Share that each step keeps of the running average of the weights; 0: no average is made."""
    calibration: Literal["none", "platt"] = "none"
    """Whether the logits are moved to fit the validation days."""
    monitor: Literal["auc", "logloss", "auc-logloss"] = "logloss"
    """What the epoch that is kept is the best in, on the validation days."""
    patience: int = 2
    """Epochs without gain after which it stops."""
    seed: int = 7
    """What chance is drawn from."""
    min_count: int = 2
    """Categories seen less often in training share index 0 with those never seen."""
    embedding_l2: float | None = None
    """L2 weight on the embeddings; None takes the model's own."""
    sparse_gradients: bool | None = field(default=None, metadata={"omit_default": True})
    """Whether a step moves no embedding but those of the values in its rows; None: where a model
    has a million of them or more, if the optimiser is adam or adagrad."""
    training_precision: Literal["f32", "bf16"] = field(
        default="f32", metadata={"omit_default": True}
    )
    """What the matrix products of a training step are computed in; all else stays f32."""
    validation_days: int = 14
    """The last days of the training range, held out for early stopping."""
    negative_downsampling: float = field(default=1.0, metadata={"omit_default": True})
    """Share, above 0 and at most 1, of the rows without any true label that is learned from, drawn
    by their keys; each counts as 1/share rows. Rows to validate and to judge on are never left
    out."""
    config: tuple[tuple[str, Setting], ...] = ()
    """Settings of the model, such as `(("embedding_dim", 16), ("hidden", (400, 400)))`; the model's
    defaults hold for the others."""
    precision: Literal["f32", "bf16"] = "f32"
    """What linear layers score in; bf16 only if a guard finds that it changes next to nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """What a challenger must show on the held-out days before it may become champion."""

    label: str = ""
    """The label that is judged; empty: every label of the pipeline must pass."""
    min_auc: float = 0.5
    """A challenger whose AUC is lower is refused."""
    max_ece: float = 0.05
    """A challenger whose calibration error is larger is refused."""
    max_auc_drop: float = 0.002
    """A challenger is refused whose AUC is, beyond doubt, this far below the champion's."""
    segments: tuple[str, ...] = ()
    """Categorical features whose larger values are compared one by one."""
    max_segment_auc_drop: float = 0.03
    """As `max_auc_drop`, in one segment."""
    min_segment_rows: int = 2000
    """Segments of fewer rows are not compared."""
    rank_within: str = ""
    """A categorical feature (the user, say) within whose rows the order is measured as well: AUC,
    NDCG and recall among the first `rank_k`. It is told, and decides nothing."""
    rank_k: int = 10
    """How many rows of the highest scores `rank_within` looks at."""

    def judges(self, label: str) -> bool:
        """Whether the limits hold for a label."""
        return self.label in ("", label)


Feature = Categorical | Numeric | Cross | MultiValued


def taken(feature: Feature) -> tuple[str, ...]:
    """Return the source columns, and `lookup.column`s, that a feature is made of."""
    return feature.of if isinstance(feature, Cross) else (feature.column,)


def plain(value: Any) -> Any:
    """Return `value` as JSON-ready data, a dataclass with its class name.

    A field whose metadata says `by_name` is told by its name: what it is has a digest of its own.
    A field whose metadata says `is_data` is left out: what it holds belongs to the source's
    fingerprints, day by day, and not to the definition. So is one whose metadata says
    `omit_default` while it has its default: a definition that does not use it is the one it was
    before the field was there.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: _told(getattr(value, f.name), by_name=f.metadata.get("by_name", False))
            for f in dataclasses.fields(value)
            if not f.metadata.get("is_data")
            and not (f.metadata.get("omit_default") and getattr(value, f.name) == f.default)
        }
        return {"class": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    return value


def json_digest(data: Any) -> str:
    """Return 16 hex digits over JSON-ready data, in whatever order its fields were given."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _told(value: Any, *, by_name: bool) -> Any:
    return value.name if by_name and value is not None else plain(value)
