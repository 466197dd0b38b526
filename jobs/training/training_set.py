"""A frozen, encoded copy of features and labels for one training run; its id says what is in it.

Splits: `train`; `valid`, the last days of the training range, for early stopping; `eval`, later
days, for the gate. In `train` and `valid` a row has a label only if it was known before the first
evaluation day began (the day after training, without one): what a training then could have known. A
row that has none is in no split; of several labels a row may have some, and null for the others.

Negatives are left out of `train` only (`Training.negative_downsampling`): `valid` and `eval` are of
every row, so that early stopping, calibration, metrics, segments and the gate are of the whole.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from pyspark.sql import functions as F

from feature_store.definition import json_digest, label_record, label_words, plain
from feature_store.errors import NightscoreError, UsageError, WriteConflict
from feature_store.features.encode import widen
from feature_store.features.labels import known_column, label_column
from feature_store.features.sampling import ROW_WEIGHT, sample_negatives
from feature_store.schema import DS, FEATURES, SEGMENT_PREFIX, SPLIT, TRAINING_SETS, WEIGHT
from feature_store.tables.inputs import pack, unpack
from jobs.night.expected import pins
from jobs.training.label_rows import label_pins, labelled_rows
from jobs.training.resolution import refuse_coarse
from jobs.version import revision

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition
    from jobs.context import Context

log = logging.getLogger(__name__)

TRAIN = "train"
VALID = "valid"
EVAL = "eval"

ROWS_PER_FILE = 500_000
"""About 100 MB of 40 columns: a row group or two, few enough to open, enough to share out."""
_SHUFFLE = "_shuffle"


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCounts:
    """The rows of a split that have a label."""

    rows: int
    positives: int
    weight: float | None = None
    """Sum of the weights of these rows, about as many as there are in the whole; None: each is one,
    as no row was left out."""

    @property
    def whole(self) -> float:
        """How many rows they stand for."""
        return self.rows if self.weight is None else self.weight

    @property
    def base_rate(self) -> float:
        """The share of the whole for which it is true: a positive is never left out."""
        return self.positives / self.whole


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitFiles:
    """The files of one split."""

    files: tuple[str, ...]
    """Local paths (or URLs, where the home is one), in the order the rows were shuffled into."""
    rows: int
    """Rows of the files; what they stand for is in `labels`."""
    labels: Mapping[str, LabelCounts]
    """By the label's name, in the definition's order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSet:
    """A complete frozen set: the same id always holds the same rows in the same order."""

    id: str
    labels: tuple[str, ...]
    splits: Mapping[str, SplitFiles]
    """`train`, `valid` and, where there are days to evaluate on, `eval`."""
    manifest: Mapping[str, Any]
    """What the id is the digest of: definition digests, days per split, and pins."""
    is_reused: bool
    """Whether it was found rather than written."""

    @property
    def rows(self) -> int:
        """Rows of all splits together."""
        return sum(split.rows for split in self.splits.values())


def freeze(context: Context, train_days: Sequence[date], eval_days: Sequence[date]) -> TrainingSet:
    """Return the frozen set of these days, written now unless it is there already.

    Raises:
        UsageError: the days overlap, are out of order, or too few to hold some out.
        PartitionNotReady: features or events of some day are missing.
        NightscoreError: a label has no row in a split, or only one class; or a numeric feature has
            values that float32 cannot tell apart.
    """
    started = time.monotonic()
    days = split_days(context.definition, train_days, eval_days)
    manifest = _manifest(context, days)
    text = json.dumps(manifest, sort_keys=True)
    set_id = _id_of(manifest)
    table = set_table(set_id)
    log.info("step=freeze id=%s manifest=%s", set_id, text)
    is_reused = context.warehouse.version(table) is not None
    if not is_reused:
        every = sorted(day for listed in days.values() for day in listed)
        refuse_coarse(context.warehouse.read(FEATURES, every), context.definition)
        frame = training_frame(context, days)
        # Another driver may freeze the same set meanwhile: it is the same, whoever wrote it.
        with suppress(WriteConflict):
            context.warehouse.write_frozen(table, frame, SPLIT, text)
    frozen = TrainingSet(
        id=set_id,
        labels=context.definition.label_names,
        splits=_read_splits(context, table, list(days)),
        manifest=manifest,
        is_reused=is_reused,
    )
    log.info(
        "step=freeze id=%s reused=%d rows=%d seconds=%.1f",
        set_id, is_reused, frozen.rows, time.monotonic() - started,
    )  # fmt: skip
    return frozen


def set_table(set_id: str) -> str:
    """Return the table of a frozen set."""
    return f"{TRAINING_SETS}/{set_id}"


def split_days(
    definition: Definition, train_days: Sequence[date], eval_days: Sequence[date]
) -> dict[str, list[date]]:
    """Return the days of each split: the last training days are held out for early stopping.

    A day of which a label is settled only after the next split begins is in none: what was learned
    from it would be known too late to be used there.

    Raises:
        UsageError: the days overlap, are out of order, or too few to hold some out.
    """
    ordered, later = sorted(set(train_days)), sorted(set(eval_days))
    if not ordered:
        raise UsageError(_too_few(definition, ordered))
    if later and later[0] <= ordered[-1]:
        raise UsageError(
            f"{definition.name}: evaluation starts on {later[0]}, training ends on {ordered[-1]}: "
            "evaluation days must come after training days. Change --to or --eval-to"
        )
    end = later[0] if later else ordered[-1] + timedelta(days=1)
    held_out = _settled_by(definition, ordered, end)[-definition.training.validation_days :]
    before = [day for day in ordered if held_out and day < held_out[0]]
    learned = _settled_by(definition, before, held_out[0]) if before else []
    if not learned:
        raise UsageError(_too_few(definition, ordered))
    splits = {TRAIN: learned, VALID: held_out}
    return {**splits, EVAL: later} if later else splits


def _settled_by(definition: Definition, days: Sequence[date], end: date) -> list[date]:
    """Return the days whose labels are all settled by the cut-off of a day."""
    return [day for day in days if day + timedelta(days=definition.label_days) <= end]


def _too_few(definition: Definition, days: Sequence[date]) -> str:
    wait, held_out = definition.label_days, definition.training.validation_days
    gap = (
        f" A label is settled {wait} days after its day: those before the next split are left out."
        if wait
        else ""
    )
    return (
        f"{definition.name}: {len(days)} training days, of which validation_days={held_out} are "
        f"held out for early stopping: both must have one day or more.{gap} Start the range "
        "earlier (--from), or change validation_days in the definition"
    )


def training_frame(context: Context, days: Mapping[str, Sequence[date]]) -> DataFrame:
    """Return the encoded, labelled, shuffled rows of the splits, as pinned."""
    definition, warehouse = context.definition, context.warehouse
    every = sorted(d for listed in days.values() for d in listed)
    features = warehouse.read(FEATURES, every)
    start = definition.cutoff(first_day_after_training(definition, days))
    # A label that was corrected later is the one that was known when training could have begun.
    then = F.when(split_of(days) != EVAL, F.lit(start))
    columns = [label_column(name) for name in definition.label_names]
    labels = (
        labelled_rows(context, every, then)
        .withColumns(usable_labels(definition, days))
        .where(F.coalesce(*columns).isNotNull())
        .select(DS, *definition.keys, *columns)
    )
    if is_sampled(definition):  # before the join, which then has fewer rows to find
        labels = sample_negatives(
            labels,
            definition.keys,
            columns,
            share=definition.training.negative_downsampling,
            where=split_of(days) == TRAIN,
        )
    rows = features.join(labels, [DS, *definition.keys]).withColumn(SPLIT, split_of(days))
    return _shuffled(rows, definition, _file_count(context, every))


def is_sampled(definition: Definition) -> bool:
    """Whether negatives are left out of what is learned from."""
    return definition.training.negative_downsampling < 1


def usable_labels(definition: Definition, days: Mapping[str, Sequence[date]]) -> dict[str, Column]:
    """Return, by its column, each label where a split may use it, else null.

    It must have been known in time, but in the evaluation, which is always of what is known now.
    """
    start = F.lit(definition.cutoff(first_day_after_training(definition, days)))
    found = {}
    for name in definition.label_names:
        # A null time is a label that nobody knew: the comparison is null, and so is the label.
        in_time = F.col(known_column(name)) < start
        column = label_column(name)
        found[column] = F.when((split_of(days) == EVAL) | in_time, F.col(column))
    return found


def first_day_after_training(definition: Definition, days: Mapping[str, Sequence[date]]) -> date:
    """Return the day until whose cut-off a training label counts."""
    if days.get(EVAL):
        return days[EVAL][0]
    return days[VALID][-1] + timedelta(days=max(1, definition.label_days))


def split_of(days: Mapping[str, Sequence[date]]) -> Column:
    """Return the split of a row by its day; splits follow one another in time."""
    column = F.lit(TRAIN)
    for split in (VALID, EVAL):
        if days.get(split):
            column = F.when(F.col(DS) >= F.lit(days[split][0]), split).otherwise(column)
    return column


def _shuffled(rows: DataFrame, definition: Definition, files: int) -> DataFrame:
    """Return the columns to freeze, in an order that the row's day and keys alone decide."""
    # Readable segments are looked at in the evaluation only.
    segments = {
        f"{SEGMENT_PREFIX}{name}": F.when(F.col(SPLIT) == EVAL, F.col(name).cast("string"))
        for name in definition.gate.segments
    }
    ordered = (
        rows.withColumns({_SHUFFLE: F.xxhash64(DS, *definition.keys), **segments})
        .repartition(files, _SHUFFLE)
        .sortWithinPartitions(SPLIT, _SHUFFLE, DS, *definition.keys)
    )
    labels = [label_column(name) for name in definition.label_names]
    weights = [ROW_WEIGHT] if is_sampled(definition) else []
    wide = widen(ordered, definition, SPLIT, DS, *labels, *weights, *segments)
    return wide.withColumnRenamed(ROW_WEIGHT, WEIGHT) if weights else wide


def _file_count(context: Context, days: Sequence[date]) -> int:
    """Return how many files a split should have at most, by the rows of its features."""
    commits = context.warehouse.commits(FEATURES)
    rows = sum(commits[FEATURES, day, ""].rows for day in days)
    return max(1, -(-rows // ROWS_PER_FILE))


def _manifest(context: Context, days: Mapping[str, Sequence[date]]) -> dict[str, Any]:
    """Return everything that decides the rows of the set, as JSON-ready data.

    Raises:
        PartitionNotReady: features or events of some day are missing.
    """
    definition = context.definition
    every = sorted(d for listed in days.values() for d in listed)
    read = {FEATURES: pins(context, FEATURES, every), **label_pins(context, every)}
    share = definition.training.negative_downsampling
    # A set that is whole is the one it was before there were others.
    sampled = {"negative_downsampling": share} if is_sampled(definition) else {}
    return {
        "pipeline": definition.name,
        "code": revision(TRAINING_SETS),
        "features": definition.digest("features"),
        "encoding": definition.digest("encoding"),
        **label_record(definition.labels),
        "cutoff_hours": definition.cutoff_hours,
        "segments": list(definition.gate.segments),
        **sampled,
        "days": {split: _runs(listed) for split, listed in days.items()},
        "pins": {table: pack(found) for table, found in read.items()},
    }


def _id_of(manifest: Mapping[str, Any]) -> str:
    """Return the id of a set: the same for the same rows, whichever versions they were read at."""
    pins = {
        table: [[str(pin.ds), pin.digest] for pin in unpack(runs)]
        for table, runs in manifest["pins"].items()
    }
    return json_digest({**manifest, "pins": pins})


def _runs(days: Sequence[date]) -> list[list[str]]:
    """Return days as (first, last) of each unbroken run."""
    runs: list[list[str]] = []
    for day in days:
        if runs and date.fromisoformat(runs[-1][1]) + timedelta(days=1) == day:
            runs[-1][1] = day.isoformat()
        else:
            runs.append([day.isoformat(), day.isoformat()])
    return runs


def _read_splits(context: Context, table: str, names: Sequence[str]) -> dict[str, SplitFiles]:
    """Return what is in a frozen set, by split.

    Raises:
        NightscoreError: a label has no row in a split, or only one class.
    """
    labels = context.definition.label_names
    frame = context.warehouse.read(table, version=0)
    weight = F.col(WEIGHT) if is_sampled(context.definition) else F.lit(None)
    of_labels = (_counted(F.col(label_column(label)), weight) for label in labels)
    counted = frame.groupBy(SPLIT).agg(F.count(F.lit(1)), *of_labels).collect()
    counts = {row[0]: (row[1], [_counts(*of) for of in row[2:]]) for row in counted}
    files = [local_path(url) for url in frame.inputFiles()]
    splits = {}
    for name in names:
        none = [LabelCounts(rows=0, positives=0)] * len(labels)
        rows, of_label = counts.get(name, (0, none))
        found = dict(zip(labels, of_label, strict=True))
        for label, told in found.items():
            check_classes(context.definition, name, label, told)
        own = sorted(file for file in files if f"/{SPLIT}={name}/" in file)
        splits[name] = SplitFiles(files=tuple(own), rows=rows, labels=found)
    return splits


def _counted(label: Column, weight: Column) -> Column:
    """Return what `_counts` takes, aggregated.

    A double holds the sum of a billion equal floats exactly: it is the same in whatever order.
    """
    total = F.sum(F.when(label.isNotNull(), weight).cast("double"))
    return F.struct(F.count(label), F.sum(label), total)


def _counts(rows: int, positives: float | None, weight: float | None) -> LabelCounts:
    return LabelCounts(rows=rows, positives=int(positives or 0), weight=weight)


def check_classes(definition: Definition, split: str, name: str, counts: LabelCounts) -> None:
    """Do nothing if a label has rows of both classes in a split.

    Raises:
        NightscoreError: it has no row, or only one class.
    """
    label, flag = definition.label_named(name), "--eval-to" if split == EVAL else "--from"
    rows, positives = counts.rows, counts.positives
    widen_it = f"Take a longer range ({flag}), or change the label in the definition"
    if split == TRAIN and counts.weight is not None:
        widen_it += ", or raise negative_downsampling, the share of negatives that is kept"
    if not rows:
        raise NightscoreError(
            f"{definition.name}: split {split} has no row with a label {label.name!r} known in "
            f"time ({label_words(plain(label))}). {widen_it}"
        )
    if positives in (0, rows):
        raise NightscoreError(
            f"{definition.name}: label {label.name!r} is {bool(positives)} in all {rows} rows of "
            f"split {split}: nothing can be learned or measured from one class. {widen_it}"
        )


def local_path(url: str) -> str:
    """Return the path of a `file:` URL, decoded; any other URL as it is."""
    parsed = urlparse(url)
    return unquote(parsed.path) if parsed.scheme in ("", "file") else url
