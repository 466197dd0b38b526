"""What is kept of every night beside its page: its verdict, and how good its scores turned out.

One file of JSON a night, `reports/<pipeline>/nights/<ds>.json`. The calendar, the trend and the
verdict on later nights are made of them, so that a night costs as much after years as after days.
No step of a night reads them: what is lost is made again when a report is written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

from jobs.report.realised import Realised
from jobs.report.site_files import REPORTS, texts, write

if TYPE_CHECKING:
    from jobs.context import Context

log = logging.getLogger(__name__)

NIGHTS = "nights"
FORMAT = 1
"""Raise it when what is kept changes its meaning: records of another format are made again."""

Level = Literal["good", "look", "failed", "blocked", "stale", "not run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One thing that a verdict rests on, and where a person sees it."""

    text: str
    weight: int
    """The heavier, the earlier it is said; 0 for what only explains."""
    href: str
    """A section of the page, or another page of the pipeline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """What is known of a night's labels, and of what it was found out."""

    state: str = ""
    """Which run and which versions of the tables that tell the labels; empty: nobody looked."""
    by_label: Mapping[str, Realised] = field(default_factory=dict)
    """Of each label of which something is known, in the definition's order."""
    later: int = 0
    """Labels that are there and count as known only later."""
    next_known: datetime | None = None
    """When the first of those becomes known."""

    @property
    def is_whole(self) -> bool:
        """Whether labels are known and none of those that are there comes later."""
        return bool(self.by_label) and not self.later


@dataclass(frozen=True, kw_only=True, slots=True)
class NightRecord:
    """One night, as its page says."""

    ds: date
    level: Level
    title: str
    reasons: tuple[Reason, ...]
    unknown: tuple[str, ...]
    """What is not known yet, in words."""
    labelled: Labelled
    run_id: str = ""
    """The published run; empty where none is."""
    model_name: str = ""
    model_version: int = 0
    rows: int = 0
    """Published scores."""
    read_rows: int = 0
    """Rows of the source, the bad ones included."""
    bad_rows: int = 0
    """Those in quarantine that count as bad."""
    failure: str = ""
    """What the latest attempt ended with, where it failed."""
    has_page: bool = True
    """Whether a page was written: a backfill publishes nights without."""

    def to_json(self) -> str:
        """Return it as one JSON object."""
        told = {
            "format": FORMAT,
            "ds": self.ds.isoformat(),
            "level": self.level,
            "title": self.title,
            "reasons": [
                {"text": one.text, "weight": one.weight, "href": one.href} for one in self.reasons
            ],
            "unknown": list(self.unknown),
            "labelled": _told(self.labelled),
            "run_id": self.run_id,
            "model_name": self.model_name,
            "model_version": self.model_version,
            "rows": self.rows,
            "read_rows": self.read_rows,
            "bad_rows": self.bad_rows,
            "failure": self.failure,
            "has_page": self.has_page,
        }
        return json.dumps(told, indent=1)

    @classmethod
    def from_json(cls, text: str) -> NightRecord:
        """Return what `to_json` told.

        Raises:
            ValueError, KeyError, TypeError: it is none, or of another format.
        """
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise ValueError(f"format={told['format']}: this release reads {FORMAT}")
        del told["format"]
        return cls(
            **told
            | {
                "ds": date.fromisoformat(told["ds"]),
                "reasons": tuple(Reason(**one) for one in told["reasons"]),
                "unknown": tuple(told["unknown"]),
                "labelled": _labelled(told["labelled"]),
            }
        )


def load(context: Context) -> dict[date, NightRecord]:
    """Return what is kept of every night, oldest first; what cannot be read is left out."""
    return load_of(context, context.definition.name)


def load_of(context: Context, pipeline: str, newest: int | None = None) -> dict[date, NightRecord]:
    """Return what is kept of the nights of a pipeline, or of the newest so many, oldest first."""
    place = context.home.path(REPORTS, pipeline, NIGHTS)
    found = {}
    for name, text in sorted(texts(context, place, ".json", newest).items()):
        try:
            record = NightRecord.from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("file=%s/%s: is no record of a night, and is made again: %s",
                        place, name, error)  # fmt: skip
            continue
        found[record.ds] = record
    return found


def save(context: Context, record: NightRecord) -> None:
    """Keep what is known of a night."""
    name = f"{record.ds.isoformat()}.json"
    place = context.home.path(REPORTS, context.definition.name, NIGHTS, name)
    write(context, place, record.to_json())


def to_renew(
    kept: Mapping[date, NightRecord], states: Mapping[date, str], now: datetime
) -> list[date]:
    """Return the nights whose labels may be others than their records say, oldest first.

    Args:
        kept: the records.
        states: of the nights that are published, what their labels would be read of now.
        now: UTC.
    """
    return sorted(day for day, state in states.items() if _is_old(kept.get(day), state, now))


def _is_old(record: NightRecord | None, state: str, now: datetime) -> bool:
    if record is None or record.labelled.state != state:
        return True
    known = record.labelled.next_known
    return known is not None and known <= now


def _told(labelled: Labelled) -> dict[str, Any]:
    return {
        "state": labelled.state,
        "later": labelled.later,
        "next_known": labelled.next_known.isoformat() if labelled.next_known else None,
        "by_label": {name: one.to_dict() for name, one in labelled.by_label.items()},
    }


def _labelled(told: Mapping[str, Any]) -> Labelled:
    known = told["next_known"]
    return Labelled(
        state=told["state"],
        later=told["later"],
        next_known=datetime.fromisoformat(known).astimezone(UTC) if known else None,
        by_label={name: Realised.from_dict(one) for name, one in told["by_label"].items()},
    )


def newest(nights: Sequence[NightRecord]) -> NightRecord | None:
    """Return the latest night that ran; None where none did."""
    return max(nights, key=lambda night: night.ds, default=None)
