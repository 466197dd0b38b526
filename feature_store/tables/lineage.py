"""One row per table and day: what was written, from what, at what cost.

The rows are derived: everything in them but the cost is also in the metadata of the data commit, so
those that a crash kept from being written are mended by reading the Delta log.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from feature_store.tables.inputs import Inputs

SCHEMA = (
    "table string, ds date, run_id string, version bigint, rows bigint, bytes bigint, "
    "seconds double, core_seconds double, inputs string, committed_at timestamp"
)


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
    token: str = field(default="", compare=False)
    """Identifies the write; not kept in the lineage table."""

    def as_row(self) -> tuple[object, ...]:
        """Return the values in the order of `SCHEMA`."""
        return (
            self.table,
            self.ds,
            self.run_id,
            self.version,
            self.rows,
            self.bytes,
            self.seconds,
            self.core_seconds,
            self.inputs.to_json(),
            self.committed_at,
        )


def commit_metadata(
    table: str, runs: Mapping[date, str], days: Mapping[date, Inputs], token: str
) -> str:
    """Return the JSON text stored in a data commit; equal inputs of many days are stored once.

    `token` is unique to the write, so that a writer finds its own commit among others.
    """
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for day, inputs in sorted(days.items()):
        texts[runs[day], inputs.to_json()].append(day.isoformat())
    return json.dumps(
        {
            "nightscore": 1,
            "table": table,
            "token": token,
            "days": [[run, listed, text] for (run, text), listed in texts.items()],
        },
        separators=(",", ":"),
    )


def commits_from_log(version: int, actions: Iterable[str]) -> list[DayCommit]:
    """Return what one Delta log file says about days; empty for a commit that is not ours.

    The log does not know what the rows cost: seconds are 0 here.

    Args:
        version: the commit's version.
        actions: the file's lines, one JSON action each.
    """
    meta: dict[str, Any] | None = None
    committed_ms = 0
    rows: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for line in filter(None, actions):
        action = json.loads(line)
        if "commitInfo" in action:
            meta = _our_metadata(action["commitInfo"].get("userMetadata"))
            committed_ms = int(action["commitInfo"]["timestamp"])
        elif "add" in action:
            add = action["add"]
            ds = add["partitionValues"].get("ds")
            if ds is not None:
                rows[ds] += json.loads(add.get("stats") or "{}").get("numRecords", 0)
                sizes[ds] += add["size"]
    if meta is None:
        return []
    return [
        DayCommit(
            table=meta["table"],
            ds=date.fromisoformat(ds),
            run_id=run,
            version=version,
            rows=rows[ds],
            bytes=sizes[ds],
            seconds=0.0,
            core_seconds=0.0,
            inputs=Inputs.from_json(text),
            committed_at=datetime.fromtimestamp(committed_ms / 1000, UTC),
            token=meta["token"],
        )
        for run, listed, text in meta["days"]
        for ds in listed
    ]


def _our_metadata(text: str | None) -> dict[str, Any] | None:
    """Return the metadata that `commit_metadata` wrote, or None for any other commit."""
    if not text or not text.startswith('{"nightscore"'):
        return None
    meta: dict[str, Any] = json.loads(text)
    return meta
