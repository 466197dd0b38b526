"""The order of steps: what each needs, does, proves and leaves. Declared once, for every caller.

A whole night, a step alone that a scheduler asks for hours later, the preparation of a year and a
backfill all carry out these steps and no others: a rule that holds for one holds for all. A step
finds what the steps before it left in the tables, so that any can be repeated by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from feature_store.errors import InputsReplaced, NightscoreError, PartitionNotReady, RunRemoved
from feature_store.schema import (
    EVENTS,
    FEATURES,
    LEDGER,
    QUALITY,
    QUARANTINE,
    SCORES,
    TILES,
    stream_table,
)
from jobs.night.build_features import build_day_features
from jobs.night.build_tiles import build_day_tiles
from jobs.night.ingest import ingest_events, ingest_looked_up
from jobs.night.outcomes import take_in_before
from jobs.night.publish import StagedRun, publish
from jobs.night.reach import FIRST_ROWS, days_to_ingest, paced, ranges_text, source_days
from jobs.night.refused import has_earlier
from jobs.night.score import load_model_early, score_days
from jobs.night.spine_rows import spine_rows
from jobs.night.work import DayEnd, Work

if TYPE_CHECKING:
    from feature_store.definition import Stream
    from jobs.context import Context
    from jobs.night.deliveries import Ingested
    from jobs.night.quality import Stage
    from jobs.night.stopwatch import Stopwatch

log = logging.getLogger(__name__)

_TRIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a night, of one day or many."""

    name: str
    do: Callable[[Work], str]
    """Does it for every day left, ends those that cannot go on, and says what it came to."""
    needs: tuple[str, ...] = ()
    """Tables in which every day must have been written."""
    proofs: tuple[Stage, ...] = ()
    """What must have passed its checks, exactly as it is taken here."""
    leaves: tuple[str, ...] = ()
    """Tables in which it leaves rows of the days."""
    is_of_run: bool = False
    """Whether it is about one run, which is planned anew where its features or scores go away."""


def carry_out(work: Work, steps: Iterable[Step], watch: Stopwatch) -> None:
    """Carry out steps, in the order given, for the days that are left.

    What another driver or maintenance replaced under a run is planned, checked and scored again.

    Raises:
        NightscoreError: a step failed; with `raises`, for one day.
    """
    given = list(steps)
    try:
        _carry_out(work, given, watch)
    except Exception:
        try:
            work.record_checks()  # the page of work that failed shows what was checked
        except NightscoreError as error:  # the work's own error is the one to end with
            log.warning("what was checked is not written down: %s", error)
        raise
    work.record_checks()


def _carry_out(work: Work, given: Sequence[Step], watch: Stopwatch) -> None:
    of_run = [step for step in given if step.is_of_run]
    for step in given[: len(given) - len(of_run)]:
        _do(work, step, watch)
    for attempt in range(1, _TRIES + 1):
        try:
            for step in of_run:
                _do(work, step, watch)
            return
        except InputsReplaced as error:
            if attempt == _TRIES:
                raise
            log.warning("attempt=%d of %d: %s", attempt, _TRIES, error)
            work.plan_again()


def _do(work: Work, step: Step, watch: Stopwatch) -> None:
    _require(work, step)
    if work.left:
        with watch.step(step.name):
            for stage in step.proofs:
                work.require_checked(stage)
            if work.left:
                work.said[step.name] = step.do(work)


def _require(work: Work, step: Step) -> None:
    """Have what a step needs, or say which step to repeat; days that need nothing more end."""
    for table in step.needs:
        if table == EVENTS and work.context.definition.stream is not None:
            work.require_written(work.context.events)
        if table == FEATURES:
            work.require_written(FEATURES)
        if table == FEATURES:
            work.end_unknown()
    if step.is_of_run and any(day not in work.runs for day in work.left):
        work.plan()
    if SCORES in step.needs:
        work.require_staged()


def _ingest(work: Work) -> str:
    """Bring events, those that are looked up among them, up to date with their sources.

    What happened on a day is often delivered the day after, beside the same rows: the days of the
    history that were delivered again are taken in as well, or windows would never see an outcome
    that training sees.
    """
    context, asked = work.context, work.asked
    if not asked.fetches_history:
        require_history(context, work.left)
    found = []
    for stream in context.definition.streams:
        found += _ingest_stream(work, stream)
    # Last: the times of the rows to score say which days are looked up.
    for stream in context.definition.streams:
        if context.definition.lookups_in(stream):
            for chunk in paced(work.left, _rows_to_score(work)):
                found.append(ingest_looked_up(context, stream, chunk, again=work.left))
    work.is_new = any(result.written for result in found)
    for result in found:
        work.gone |= set(result.gone) if result.table == context.events else set()
        _settle(work, result)
    tables = dict.fromkeys(result.table for result in found)
    written_to = {result.table for result in found if result.written}
    told = [f"{table} {'written' if table in written_to else 'found'}" for table in tables]
    bad = [f"{r.table} {d} refused" for r in found for d in sorted(r.errors)]
    return ", ".join([*told, *bad])


def _ingest_stream(work: Work, stream: Stream) -> list[Ingested]:
    context, table = work.context, stream_table(stream.name, EVENTS)
    own = set(work.left) if table == context.events else set()
    found = []
    for chunk in paced(days_to_ingest(context, stream, work.left)):
        started = time.monotonic()
        # Days before are good enough as an older rule made them: a night reads no month.
        before = [] if work.asked.fetches_history else [day for day in chunk if day not in own]
        found.append(ingest_events(context, stream, chunk, again=own, as_history=before))
        written = len(found[-1].written)
        work.on_progress(_line(table, chunk, written, time.monotonic() - started))
    return found


def _rows_to_score(work: Work) -> Mapping[date, int]:
    """Return how many rows each day has that is scored, as far as that is known beforehand."""
    context = work.context
    if context.definition.stream is not None:
        return _rows_of(context, context.events)
    # The days before tell what is scored, and tell of about as many as on other days.
    there = _rows_of(context, FEATURES).values()
    rows = max(there) if there else spine_rows(context, work.left[-1])
    return dict.fromkeys(work.left, FIRST_ROWS if rows is None else rows)


def _rows_of(context: Context, table: str) -> dict[date, int]:
    """Return how many rows each day of a table has, of those that were written."""
    return {day: commit.rows for (_, day, _), commit in context.warehouse.commits(table).items()}


def _settle(work: Work, result: Ingested) -> None:
    """End the days that a bad delivery stops, and say of the others that an earlier one is used."""
    for part, error in sorted(result.errors.items()):
        is_scored = result.table == work.context.events
        own = not work.asked.fetches_history and part in work.left and is_scored
        used, needing = "bad redelivery, earlier version used", list[date]()
        if own or not has_earlier(work.context, result.table, part):
            used = "refused, needed by none"
            needing = [d for d in work.left if (result.table, part) in source_days(work.context, d)]
        if not needing:
            log.warning(
                "step=ingest pipeline=%s %s %s: %s: %s",
                work.context.definition.name, result.table, part, used, error,
            )  # fmt: skip
        for day in needing:
            is_own = day == part and is_scored
            blocked = "" if is_own else f"blocked by {result.table} {part}: {error}"
            work.fail(day, error, blocked)


def require_history(context: Context, days: Sequence[date]) -> None:
    """Do nothing if every day that history windows of `days` read was ingested once.

    The days of another stream that come after all that were ingested are tonight's own work.

    Raises:
        PartitionNotReady: some were not; says which, and what to run. Nothing was ingested.
    """
    definition = context.definition
    for stream in definition.streams:
        table = stream_table(stream.name, EVENTS)
        there = {day for _, day, _ in context.warehouse.commits(table)}
        needed = {d for day in days for d in definition.window_days(day, stream)}
        missing = sorted(needed.difference(there, stream.absent_days))
        if table == context.events:
            missing = [day for day in missing if day not in days]
        elif there:
            missing = [day for day in missing if day < max(there)]
        if missing:
            raise _history_missing(context, table, days, missing)


def _history_missing(
    context: Context, table: str, days: Sequence[date], missing: Sequence[date]
) -> PartitionNotReady:
    # A day of the rows to score needs no history of its own to be ingested; to prepare the day that
    # is asked for brings those of other streams.
    wanted = missing if table == context.events else days
    return PartitionNotReady(
        table,
        missing,
        f"They are the history that ds={ranges_text(days)} reads: {ranges_text(missing)} were "
        "never ingested. Nothing was done. Run: nightscore prepare --pipeline "
        f"{context.definition.name} --from {wanted[0]} --to {wanted[-1]}",
    )


def _features(work: Work) -> str:
    context, asked = work.context, work.asked
    if asked.model is not None and not asked.fetches_history and (work.is_new or asked.force):
        load_model_early(context, asked.model)
    for stream in context.definition.streams:
        if context.definition.tilings(stream):
            _tiles(work, stream)
    rows, written = 0, 0
    for chunk in paced(work.left, _rows_to_score(work)):
        started = time.monotonic()
        built = build_day_features(context, chunk, force=asked.force)
        line = _line(FEATURES, chunk, len(built.written), time.monotonic() - started)
        work.on_progress(f"{line}, {built.rows:,} rows")
        rows, written = rows + built.rows, written + len(built.written)
    work.rows_of_features, work.days_built = rows, written
    work.end_unknown()
    return f"{rows} rows {'written' if written else 'found'}"


def _tiles(work: Work, stream: Stream) -> None:
    context, table = work.context, stream_table(stream.name, TILES)
    of_events = _rows_of(context, stream_table(stream.name, EVENTS))
    there = [day for day in days_to_ingest(context, stream, work.left) if day in of_events]
    for chunk in paced(there, of_events):
        started = time.monotonic()
        built = build_day_tiles(context, stream, chunk)
        work.on_progress(_line(table, chunk, len(built.written), time.monotonic() - started))


def _check_features(work: Work) -> str:
    work.check("features", list(work.left))
    return _passed(work, "features")


def _score(work: Work) -> str:
    runs = [work.runs[day] for day in work.left]
    work.staged |= score_days(work.context, runs, force=work.asked.force)
    # A forced run is scored once: what is tried again after this finds it.
    rows = sum(work.staged[day].rows for day in work.left)
    return f"{_runs_text(work)}, {rows} rows"


def _check_scores(work: Work) -> str:
    work.check("scores", list(work.left))
    return _passed(work, "scores")


def _publish(work: Work) -> str:
    work.record_checks()  # whatever was checked, and when: before it is published
    said = _runs_text(work)
    staged = [
        StagedRun(
            run=work.runs[day],
            rows=work.staged[day].rows,
            fence=work.fences[day],
            checked=(work.checked[day, "features"], work.checked[day, "scores"]),
            notes=work.notes(day),
        )
        for day in work.left
    ]
    asked = work.asked
    outcomes = publish(
        work.context, staged,
        who=asked.who, why=asked.why, allow_older_model=asked.allow_older_model,
    )  # fmt: skip
    removed: list[RunRemoved] = []
    for item in staged:
        day, result = item.run.ds, outcomes[item.run.ds]
        if isinstance(result, RunRemoved):
            removed.append(result)
        elif isinstance(result, NightscoreError):
            work.fail(day, result)
        else:
            work.end(
                DayEnd(
                    ds=day,
                    outcome="published",
                    rows=item.rows,
                    run_id=item.run.run_id,
                    checks=sum(proof.checks for proof in item.checked),
                    notes=item.notes,
                )
            )
    if removed:
        raise removed[0]
    if not asked.fetches_history:
        for item in staged:
            take_in_before(work.context, item.run.ds, work.on_progress)
    rows = sum(item.rows for item in staged)
    return f"{said} published, {rows} rows"


def _passed(work: Work, stage: Stage) -> str:
    count = sum(work.checked[day, stage].checks for day in work.left)
    return f"{count} checks passed"


def _runs_text(work: Work) -> str:
    if len(work.left) == 1:
        return f"run {work.runs[work.left[0]].run_id}"
    return f"{len(work.left)} runs"


def _line(what: str, days: Sequence[date], written: int, seconds: float) -> str:
    found = len(days) - written
    return f"{what} {days[0]} to {days[-1]}: {written} days written, {found} found, {seconds:.1f} s"


PREPARATION = (
    Step(name="ingest", do=_ingest, leaves=(EVENTS, QUARANTINE)),
    Step(name="features", do=_features, needs=(EVENTS,), leaves=(TILES, FEATURES)),
)
PUBLICATION = (
    Step(
        name="check features", do=_check_features, needs=(FEATURES,), leaves=(QUALITY,),
        is_of_run=True,
    ),
    Step(
        name="score", do=_score, needs=(FEATURES,), proofs=("features",), leaves=(SCORES,),
        is_of_run=True,
    ),
    Step(
        name="check scores", do=_check_scores, needs=(FEATURES, SCORES), leaves=(QUALITY,),
        is_of_run=True,
    ),
    Step(
        name="publish", do=_publish, needs=(FEATURES, SCORES), proofs=("features", "scores"),
        leaves=(LEDGER,), is_of_run=True,
    ),
)  # fmt: skip
ORDER = (*PREPARATION, *PUBLICATION)
"""Every step, in the order of a night. The page is made after them, by whoever runs the night."""
