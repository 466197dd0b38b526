"""What one row of the ledger says; read by commands that start no Spark as well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """One row of the ledger: from then on `run_id` holds the scores of `ds`."""

    ds: date
    sequence: int
    publication: str
    run_id: str
    model_name: str
    model_version: int
    model_digest: str
    inputs: str
    rows: int
    who: str
    why: str
    published_at: datetime
    checks: str = ""
    """The checks that exactly these rows, and the features they were made of, passed; JSON."""
    notes: str = ""
    """What to know of what the scores were made of, a line each; empty for nothing."""
