"""What a day's rows are made of: the record that makes a step skippable, stale or fresh."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """One day of a table that was read: what it held, and where that can be read again.

    Pins are equal if what was read is: a day that was written again with the same rows is the same
    day, whatever its version, and in whichever table.
    """

    ds: date
    digest: str
    """16 hex digits over the rows that were read, in any order."""
    version: int = field(compare=False)
    """The commit that wrote them."""
    table_id: str = field(compare=False)
    """The Delta table that this is a version of; a folder that is made anew holds another one."""


Pins = tuple[Pin, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Everything that decides the rows of one day of one table."""

    definition: str
    """Digest of the part of the definition that this table depends on."""
    code: str
    """Version of nightscore that computed the rows."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """What the definition's digest is of, by name where a change of it alone matters or is told."""
    source: str = ""
    """Fingerprint of the source day, for tables read from the source."""
    model: str = ""
    """Digest of the bundle's manifest, for scores."""
    pins: Mapping[str, Pins] = field(default_factory=dict)
    """The days read, per table."""

    def to_json(self) -> str:
        """Return the canonical JSON text, with all that `from_json` needs."""
        return _text({**self._plain(), "pins": {t: pack(pins) for t, pins in self.pins.items()}})

    def identity(self) -> str:
        """Return a text that is the same for equal inputs, and for no others."""
        pins = {t: [[str(p.ds), p.digest] for p in pins] for t, pins in self.pins.items()}
        return _text({**self._plain(), "pins": pins})

    @classmethod
    def from_json(cls, text: str) -> Inputs:
        """Return the inputs that `to_json` wrote."""
        data = json.loads(text)
        return cls(**{**data, "pins": {t: unpack(runs) for t, runs in data["pins"].items()}})

    def changes(self, now: Inputs) -> list[str]:
        """Return in words what differs between these (stored) inputs and those of now."""
        reasons = []
        if self.definition != now.definition or self.parts != now.parts:
            reasons.append(f"changed definition{_parts_text(self.parts, now.parts)}")
        if self.code != now.code:
            reasons.append(f"changed code version ({self.code} -> {now.code})")
        if self.source != now.source:
            reasons.append("late input (the source changed)")
        if self.model != now.model:
            reasons.append(f"changed model ({self.model[:12]} -> {now.model[:12]})")
        for table in sorted({*self.pins, *now.pins}):
            before, after = _digests(self.pins.get(table, ())), _digests(now.pins.get(table, ()))
            days = sorted(d for d in {*before, *after} if before.get(d) != after.get(d))
            if days:
                more = f" and {len(days) - 1} more" if len(days) > 1 else ""
                reasons.append(f"late input ({table} {days[0]}{more} replaced)")
        return reasons

    def _plain(self) -> dict[str, Any]:
        return {
            "definition": self.definition,
            "code": self.code,
            "parts": dict(self.parts),
            "source": self.source,
            "model": self.model,
        }


def pack(pins: Iterable[Pin]) -> list[list[Any]]:
    """Return pins as JSON-ready runs of days of one version: first, last, version, id, digests."""
    runs: list[list[Any]] = []
    previous: Pin | None = None
    for pin in sorted(pins, key=lambda pin: pin.ds):
        follows = (
            previous is not None
            and pin.ds == previous.ds + timedelta(days=1)
            and (pin.version, pin.table_id) == (previous.version, previous.table_id)
        )
        if follows:
            runs[-1][1] = pin.ds.isoformat()
            runs[-1][4] += f" {pin.digest}"
        else:
            day = pin.ds.isoformat()
            runs.append([day, day, pin.version, pin.table_id, pin.digest])
        previous = pin
    return runs


def unpack(runs: Iterable[list[Any]]) -> Pins:
    """Return the pins that `pack` was given.

    Runs of three values are of a release whose pins knew no content: they equal no pin of now.
    """
    pins = []
    for first, _, version, *rest in runs:
        table_id, digests = rest if rest else ("", "unknown")
        pins += [
            Pin(
                ds=date.fromisoformat(first) + timedelta(days=place),
                digest=digest,
                version=int(version),
                table_id=table_id,
            )
            for place, digest in enumerate(digests.split(" "))
        ]
    return tuple(pins)


def _digests(pins: Iterable[Pin]) -> dict[date, str]:
    return {pin.ds: pin.digest for pin in pins}


def _parts_text(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return which named parts of a definition differ, in brackets; empty if none is told."""
    told = []
    for name in sorted(n for n in {*before, *after} if before.get(n) != after.get(n)):
        if name not in before:
            told.append(f"{name} is new")
        elif name not in after:
            told.append(f"{name} is gone")
        elif max(len(before[name]), len(after[name])) < _DIGEST:
            told.append(f"{name}: {before[name]} -> {after[name]}")
        else:
            told.append(name)
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return f" ({', '.join(told[:3])}{more})" if told else ""


_DIGEST = 16
"""A part of so many characters is a digest, and says nothing to a person."""


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))
