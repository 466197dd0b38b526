"""What a day's rows are made of: the record that makes a step skippable, stale or fresh."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

Runs = list[tuple[str, str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Everything that decides the rows of one day of one table."""

    definition: str
    """Digest of the part of the definition that this table depends on."""
    code: str
    """Version of nightscore that computed the rows."""
    source: str = ""
    """Fingerprint of the source day, for tables read from the source."""
    model: str = ""
    """Digest of the bundle's manifest, for scores."""
    pins: Mapping[str, Runs] = field(default_factory=dict)
    """Versions read, per table, as runs of (first day, last day, version)."""

    def to_json(self) -> str:
        """Return the canonical JSON text."""
        return json.dumps(
            {
                "definition": self.definition,
                "code": self.code,
                "source": self.source,
                "model": self.model,
                "pins": {table: [list(run) for run in runs] for table, runs in self.pins.items()},
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Inputs:
        """Return the inputs that `to_json` wrote."""
        data = json.loads(text)
        pins = {t: [(a, b, int(v)) for a, b, v in runs] for t, runs in data.pop("pins").items()}
        return cls(**data, pins=pins)

    def changes(self, now: Inputs) -> list[str]:
        """Return in words what differs between these (stored) inputs and those of now."""
        reasons = []
        if self.definition != now.definition:
            reasons.append("changed definition")
        if self.code != now.code:
            reasons.append(f"changed code version ({self.code} -> {now.code})")
        if self.source != now.source:
            reasons.append("late input (the source changed)")
        if self.model != now.model:
            reasons.append(f"changed model ({self.model[:12]} -> {now.model[:12]})")
        for table in sorted({*self.pins, *now.pins}):
            before, after = expand(self.pins.get(table, [])), expand(now.pins.get(table, []))
            days = sorted(d for d in {*before, *after} if before.get(d) != after.get(d))
            if days:
                more = f" and {len(days) - 1} more" if len(days) > 1 else ""
                reasons.append(f"late input ({table} {days[0]}{more} replaced)")
        return reasons


def compress(versions: Mapping[date, int]) -> Runs:
    """Return `day -> version` as runs of consecutive days with the same version."""
    runs: Runs = []
    previous: date | None = None
    for day in sorted(versions):
        follows = previous is not None and day == previous + timedelta(days=1)
        if follows and runs[-1][2] == versions[day]:
            runs[-1] = (runs[-1][0], day.isoformat(), versions[day])
        else:
            runs.append((day.isoformat(), day.isoformat(), versions[day]))
        previous = day
    return runs


def expand(runs: Runs) -> dict[date, int]:
    """Return the `day -> version` that `compress` was given."""
    versions: dict[date, int] = {}
    for first, last, version in runs:
        day, end = date.fromisoformat(first), date.fromisoformat(last)
        while day <= end:
            versions[day] = version
            day += timedelta(days=1)
    return versions
