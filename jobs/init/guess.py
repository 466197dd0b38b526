"""The pipeline that could be made of files, each part with the reason why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from feature_store.definition import Dtype
from feature_store.errors import UsageError
from jobs.init.choices import features_of, histories_of, with_a_category
from jobs.init.keys import id_score, keys_of
from jobs.init.knowledge import Knowledge, knowledge_of
from jobs.init.labels import is_outcome, label_of, label_scores
from jobs.init.parts import (
    OUTCOME,
    ROW,
    ColumnGuess,
    EventGuess,
    Guess,
    KeysGuess,
    LabelGuess,
    SideGuess,
    SourceGuess,
    TimeGuess,
)
from jobs.init.seen import Seen
from jobs.init.table import Table
from jobs.init.when import event_of, event_order, row_days, source_of

if TYPE_CHECKING:
    from jobs.init.seen import Instants

_RARE = 0.001
_FEW_DAYS = 3
_SPARSE = 10


def guess(tables: Sequence[Table]) -> Guess:
    """Return what is guessed of some tables: one of them is the rows, the others stand beside it.

    The rows are of the table with the likeliest label; of the first one, if none has any.

    Raises:
        UsageError: no pipeline can be made of it: it says which file and column, and what to do.
    """
    if not tables:
        raise UsageError("data: no file was named. Name the files of a table")
    seen = [Seen.of(table) for table in tables]
    chosen = max(seen, key=lambda s: max(label_scores(s).values(), default=0))
    found = _guess(chosen)
    sides = [_side(found, other) for other in seen if other is not chosen]
    return replace(found, sides=tuple(sides))


def _guess(seen: Seen) -> Guess:
    table = seen.table
    _require_rows(table)
    scores = label_scores(seen)
    label, no_label = label_of(seen, scores)
    late = [name for name in scores if is_outcome(name)]
    order = event_order(seen, [name for name in seen.kinds if _is_of(name, label)])
    source = source_of(seen, order)
    days = row_days(seen, source)
    event, as_of = event_of(seen, source, days, order)
    kept_out = [*late, *([label.column] if label else [])]
    keys = keys_of(seen, days, event.column, kept_out)
    if not keys.columns:
        raise UsageError(
            f"{table.title}: no column could be a key: each is empty somewhere, or no text and no "
            "whole number. Add one that tells rows apart, then run nightscore init again"
        )
    stated = [as_of.name] if as_of else []
    known = knowledge_of(seen, days, event.column, label.column if label else None, stated)
    aside = {event.column, known.row.at, known.outcome.at}
    features, left_out = features_of(seen, label, aside)
    features = with_a_category(seen, features, keys.columns)
    times = (*([as_of] if as_of else []), *known.times)
    used = {*keys.columns, *(feature.column for feature in features)}
    return Guess(
        title=table.title,
        rows=table.rows,
        source=source,
        times=times,
        columns=_columns(seen, used, keys, event, known, label, times),
        keys=keys,
        event=event,
        knowns=(known.row, known.outcome),
        label=label,
        no_label=no_label,
        features=tuple(features),
        left_out=tuple(left_out),
        histories=tuple(histories_of(seen, features, label)),
        notes=(*_notes(seen, source, keys, label), *_gaps(days, source), *known.notes),
    )


def _require_rows(table: Table) -> None:
    if table.rows:
        return
    if table.broken:
        raise UsageError(
            f"{table.first_broken}. No line can be read. Write the file as UTF-8 with as many "
            "values in each line as there are names, then run nightscore init again"
        )
    raise UsageError(
        f"{table.title}: holds a header and no row: nothing can be guessed of it. Name a file with "
        "some rows"
    )


def _is_of(name: str, label: LabelGuess | None) -> bool:
    """Whether a time is told of the label: it says when that happened."""
    if label is None or "_" not in name:
        return False
    return name.startswith(f"{label.name}_") or label.name.startswith(name.rsplit("_", 1)[0])


def _columns(
    seen: Seen,
    used: Collection[str],
    keys: KeysGuess,
    event: EventGuess,
    known: Knowledge,
    label: LabelGuess | None,
    times: Sequence[TimeGuess],
) -> tuple[ColumnGuess, ...]:
    """Return the columns that are declared: what is used, and no more."""
    needed = {*used, event.column, known.row.at, known.outcome.at}
    late = {label.column} if label else set()
    if known.outcome.at not in (event.column, known.row.at):
        late.add(known.outcome.at)
    found = []
    for name, look in seen.looks.items():
        if name not in {*needed, *late}:
            continue
        kind = seen.kinds[name]
        must_be = name in (*keys.columns, event.column, known.row.at, known.outcome.at)
        dtype: Dtype = kind.dtype or "string"
        found.append(
            ColumnGuess(
                name=name,
                theirs=look.name,
                dtype=dtype,
                known=OUTCOME if name in late else ROW,
                nullable=bool(look.nulls) or not must_be,
                why=kind.why,
                unit=kind.unit,
                words=look.words if dtype != "string" else (),
            )
        )
    for time in times:
        found.append(
            ColumnGuess(
                name=time.name,
                theirs="",
                dtype="timestamp",
                known=OUTCOME if time.name in late else ROW,
                nullable=False,
                why=time.why,
            )
        )
    return tuple(found)


def _notes(seen: Seen, source: SourceGuess, keys: KeysGuess, label: LabelGuess | None) -> list[str]:
    table, found = seen.table, []
    days = (source.last_day - source.first_day).days + 1
    if not table.is_whole:
        found.append(
            f"keys, times and leaks were looked for in {table.sample.num_rows:,} of "
            f"{table.rows:,} rows"
        )
    if table.broken:
        lines = f"{table.broken:,} lines go" if table.broken > 1 else "1 line goes"
        found.append(f"{lines} to quarantine as malformed; the first is {table.first_broken}")
    if keys.duplicates:
        found.append(keys.why)
    if label is not None and min(label.rate, 1 - label.rate) < _RARE:
        found.append(
            f"the label {label.name} is true in {label.rate:.3%} of the rows: a rare event"
        )
    if days < _FEW_DAYS:
        found.append(
            f"the files hold {days} day{'s' if days > 1 else ''}: to train takes days to learn "
            "from, days to stop by and days to be judged on"
        )
    return found


def _gaps(days: Instants, source: SourceGuess) -> list[str]:
    """Return a note if rows lie on a few days of many: some of them may be typing errors."""
    import numpy as np

    span, held = (source.last_day - source.first_day).days + 1, len(np.unique(days))
    if span < _SPARSE * max(held, 1):
        return []
    return [
        f"rows lie on {held:,} of the {span:,} days from {source.first_day} to {source.last_day}: "
        "look at the first and the last of them, and at first_day"
    ]


def _side(found: Guess, other: Seen) -> SideGuess:
    """Return what another table could be joined by."""
    keys = {column.name for column in found.columns if column.known == ROW}
    shared = tuple(name for name in other.looks if name in keys and id_score(name))
    if shared:
        why = "a Lookup could join it by these; write one in the definition"
    else:
        why = f"has no id that {found.title} has as well: it is left out"
    return SideGuess(title=other.table.title, keys=shared, why=why)
