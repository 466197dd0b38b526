"""Who is working on which day: so that two backfills share a range instead of doing it twice.

A claim is a courtesy, not a lock: what is published stays right without it, by the ledger. It ends
when it is released, when its time is over, or at once when its process on this host is dead.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from feature_store.errors import WriteConflict
from feature_store.schema import CLAIMS, DS
from feature_store.tables.warehouse import days_predicate

if TYPE_CHECKING:
    from jobs.context import Context

log = logging.getLogger(__name__)

LEASE = timedelta(hours=2)
_TRIES = 10
_SCHEMA = (
    "ds date, holder string, who string, why string, host string, pid bigint, "
    "claimed_at timestamp, expires_at timestamp, previous string"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One day held by one process."""

    ds: date
    holder: str
    who: str
    why: str
    host: str
    pid: int
    claimed_at: datetime
    expires_at: datetime

    def is_live(self, now: datetime) -> bool:
        """Whether the holder may still be at work."""
        if self.expires_at <= now:
            return False
        return self.host != socket.gethostname() or _is_running(self.pid)

    def __str__(self) -> str:
        since = f"{self.claimed_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.who} (process {self.pid} on {self.host}, since {since}: {self.why})"


@dataclass
class Claims:
    """The claims of one process on days of one pipeline."""

    context: Context
    who: str
    why: str
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)

    def take(self, days: Sequence[date]) -> dict[date, Claim]:
        """Claim every day that is free, and return the claims of others on the rest.

        Raises:
            WriteConflict: other processes claimed days all the time.
        """
        for _ in range(_TRIES):
            found = self._read(days)
            now = datetime.now(UTC)
            others = {
                ds: c for ds, c in found.items() if c.holder != self.holder and c.is_live(now)
            }
            left = [d for d in days if d not in others and not self._is_mine(found.get(d))]
            if not left:
                return others
            with suppress(WriteConflict):
                self._write(left, found, now, now + LEASE)
        raise WriteConflict(
            f"{self.context.definition.name}.claims: {_TRIES} tries to claim {len(days)} days met "
            "other processes. Run again"
        )

    def release(self, days: Iterable[date]) -> None:
        """Give up the claims on `days` that are ours.

        Never raises: it is called on the way out, where another error may be the one to hear of,
        and what is not released ends by itself.
        """
        wanted = list(days)
        try:
            for _ in range(_TRIES):
                mine = {ds: c for ds, c in self._read(wanted).items() if self._is_mine(c)}
                if not mine:
                    return
                with suppress(WriteConflict):
                    self._write(list(mine), mine, datetime.now(UTC), datetime.now(UTC))
        except Exception:
            log.warning("claims on %d days end by themselves only", len(wanted), exc_info=True)

    def _is_mine(self, claim: Claim | None) -> bool:
        if claim is None or claim.holder != self.holder:
            return False
        return claim.expires_at > datetime.now(UTC)

    def _read(self, days: Sequence[date]) -> dict[date, Claim]:
        if self.context.warehouse.version(CLAIMS) is None or not days:
            return {}
        found = {}
        for row in self.context.warehouse.days.small_rows(CLAIMS):
            row.pop("previous", None)
            if row[DS] in days:
                found[row[DS]] = Claim(**row)
        return found

    def _write(
        self, days: Sequence[date], found: dict[date, Claim], now: datetime, until: datetime
    ) -> None:
        """Write our claims over exactly the claims that were read, or not at all."""
        rows = [
            (
                *(day, self.holder, self.who, self.why, socket.gethostname(), os.getpid()),
                *(now, until, found[day].holder if day in found else ""),
            )
            for day in days
        ]
        frame = self.context.spark.createDataFrame(rows, _SCHEMA).coalesce(1)
        on = f"({days_predicate(days).replace(DS, f't.{DS}')}) AND t.ds = s.ds"
        self.context.warehouse.upsert(CLAIMS, frame, on, "t.holder = s.previous", [])


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
