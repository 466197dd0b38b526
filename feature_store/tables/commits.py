"""What one file of a Delta log says about days: written by us, or touched by somebody else."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from feature_store.schema import DS
from feature_store.tables.damage import damaged_log
from feature_store.tables.inputs import Inputs

if TYPE_CHECKING:
    from feature_store.tables.content import Parts

OURS = '{"nightscore":2,'
"""What the metadata of our commits begin with. Pins of the first format knew no content."""

_PARTITION = re.compile(r"([^/=]+)=([^/]*)/")


@dataclass(frozen=True, kw_only=True, slots=True)
class DayCommit:
    """The commit that last replaced one day (of one run, for scores) of a table."""

    table: str
    ds: date
    run_id: str
    """The run that owns the rows; empty for tables whose days have one content only."""
    version: int
    rows: int
    bytes: int
    seconds: float
    core_seconds: float
    """Executor task time, not wall clock."""
    inputs: Inputs
    committed_at: datetime
    """UTC."""
    table_id: str
    """The Delta table that `version` is one of."""
    generation: int = 1
    """Which of the tables of this name, one after another, that is."""
    foreign: str = ""
    """Who changed the day since, and how; empty if nobody did."""
    content_rule: str = field(default="", compare=False)
    """Name of the split that `content` was made by; empty while there is none."""
    content: Parts = field(default_factory=dict, compare=False)
    """Sums over the rows, by part; see `feature_store.tables.content`."""
    token: str = field(default="", compare=False)
    """Identifies the write; not kept in the lineage table."""
    files: tuple[str, ...] | None = field(default=None, compare=False)
    """Paths, below the table's folder, of the files that hold the day; None where that is not
    known any more. Not kept in the lineage table."""

    @property
    def key(self) -> tuple[str, date, str]:
        """What this is the last commit of: table, day, run id."""
        return self.table, self.ds, self.run_id


@dataclass(frozen=True, kw_only=True, slots=True)
class LogCommit:
    """One commit of a table."""

    version: int
    table_id: str
    """The table's id where the commit says it; else empty."""
    days: tuple[DayCommit, ...]
    """What we wrote."""
    touched: Mapping[tuple[date, str], str]
    """Days and runs whose rows somebody else changed, with who and how."""
    moved: frozenset[tuple[date, str]]
    """Days and runs whose rows lie in other files since, and are what they were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayFiles:
    """The files that a commit adds to a day of a run and those it removes."""

    added: Mapping[str, int]
    """Rows by path."""
    removed: frozenset[str]


def commit_metadata(table: str, inputs: Mapping[tuple[date, str], Inputs], token: str) -> str:
    """Return the JSON text stored in a data commit; equal inputs of many days are stored once.

    Args:
        table: the table that is written.
        inputs: what each day of a run was made of; the run is empty where a day has one content.
        token: unique to the write, so that a writer finds its own commit among others.
    """
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (day, run), made_of in sorted(inputs.items()):
        texts[run, made_of.to_json()].append(day.isoformat())
    return json.dumps(
        {
            "nightscore": 2,
            "table": table,
            "token": token,
            "days": [[run, listed, text] for (run, text), listed in texts.items()],
        },
        separators=(",", ":"),
    )


def parse(where: str, version: int, text: str) -> LogCommit:
    """Return what one Delta log file says about days.

    The log does not know what the rows cost: seconds are 0 here.

    Args:
        where: the file, for the error.
        version: the commit's version.
        text: the file's lines, one JSON action each.

    Raises:
        TableDamaged: the file is empty, or holds something else.
    """
    actions = _actions(where, text)
    info: dict[str, Any] = next((a["commitInfo"] for a in actions if "commitInfo" in a), {})
    meta = _our_metadata(info.get("userMetadata"))
    ids = [a["metaData"]["id"] for a in actions if "metaData" in a]
    return LogCommit(
        version=version,
        table_id=ids[-1] if ids else "",
        days=tuple(_our_days(version, meta, info, actions)) if meta else (),
        touched={} if meta else _touched(version, info, actions),
        moved=frozenset(() if meta else _days_of(actions, is_change=False)),
    )


def day_files(where: str, text: str, ds: date, run_id: str) -> DayFiles:
    """Return which files one Delta log file adds to a day of a run, and which it removes.

    Raises:
        TableDamaged: the file is empty, or holds something else.
    """
    added, removed = {}, set()
    for action in _actions(where, text):
        for kind in ("add", "remove"):
            if kind in action and _day_and_run(action[kind]) == (ds.isoformat(), run_id):
                path = action[kind]["path"]
                if kind == "add":
                    added[path] = _rows(action[kind])
                else:
                    removed.add(path)
    return DayFiles(added=added, removed=frozenset(removed))


def _actions(where: str, text: str) -> list[dict[str, Any]]:
    lines = [line for line in text.split("\n") if line]
    try:
        actions = [json.loads(line) for line in lines]
    except ValueError as error:
        actions, why = [], f"is no JSON ({error})"
    else:
        why = "is empty"
    if not actions or not all(isinstance(action, dict) for action in actions):
        raise damaged_log(where, why)
    return actions


def _our_metadata(text: str | None) -> dict[str, Any] | None:
    """Return the metadata that `commit_metadata` wrote, or None for any other commit."""
    if not text or not text.startswith(OURS):
        return None
    meta: dict[str, Any] = json.loads(text)
    return meta


def _our_days(
    version: int, meta: dict[str, Any], info: Mapping[str, Any], actions: Iterable[dict[str, Any]]
) -> list[DayCommit]:
    added: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for action in actions:
        if "add" in action:
            added[_day_and_run(action["add"])].append(action["add"])
    return [
        DayCommit(
            table=meta["table"],
            ds=date.fromisoformat(ds),
            run_id=run,
            version=version,
            rows=sum(map(_rows, added[ds, run])),
            bytes=sum(add["size"] for add in added[ds, run]),
            seconds=0.0,
            core_seconds=0.0,
            inputs=Inputs.from_json(text),
            committed_at=_time(info),
            table_id="",
            token=meta["token"],
            files=tuple(unquote(add["path"]) for add in added[ds, run]),
        )
        for run, listed, text in meta["days"]
        for ds in listed
    ]


def _touched(
    version: int, info: Mapping[str, Any], actions: Iterable[dict[str, Any]]
) -> dict[tuple[date, str], str]:
    """Return the days whose rows a commit that is not ours may have changed."""
    who = info.get("engineInfo", "an unnamed program")
    what = info.get("operation", "a write")
    when = f"{_time(info):%Y-%m-%d %H:%M:%S} UTC"
    text = f"{what} at version {version} ({who}, {when})"
    return dict.fromkeys(_days_of(actions, is_change=True), text)


def _days_of(actions: Iterable[dict[str, Any]], *, is_change: bool) -> Iterator[tuple[date, str]]:
    """Yield day and run of each file that comes or goes, with its rows or without a change."""
    for action in actions:
        file = action.get("add") or action.get("remove")
        if file and file.get("dataChange", True) == is_change:
            ds, run = _day_and_run(file)
            if ds:
                yield date.fromisoformat(ds), run


def _day_and_run(file: Mapping[str, Any]) -> tuple[str, str]:
    """Return the partition of a file: its day, and its run (or stage) where there is one."""
    values = file.get("partitionValues")
    if values is None:  # a removal need not say it
        values = {name: unquote(value) for name, value in _PARTITION.findall(file["path"])}
    return values.get(DS) or "", next((str(v) for k, v in values.items() if k != DS), "")


def _rows(add: Mapping[str, Any]) -> int:
    rows = int(json.loads(add.get("stats") or "{}").get("numRecords", 0))
    return rows - int((add.get("deletionVector") or {}).get("cardinality", 0))


def _time(info: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(int(info.get("timestamp", 0)) / 1000, UTC)
