"""Promises of compaction: it looks at places, and takes only those with too many files."""

from __future__ import annotations

from datetime import date

import pytest

from jobs.maintenance.compaction import LOOSE_FILES, crowded_files

HOME = "file:/tmp/a%20home/tables/toy"


@pytest.mark.parametrize(
    ("files", "days", "is_whole"),
    [
        ([], (), False),
        ([f"{HOME}/events/ds=2026-01-01/a", f"{HOME}/events/ds=2026-01-02/b"], (), False),
        (
            [f"{HOME}/events/ds=2026-01-0{day}/{name}" for day in (1, 2) for name in "ab"]
            + [f"{HOME}/events/ds=2026-01-03/a"],
            (date(2026, 1, 1), date(2026, 1, 2)),
            False,
        ),
        ([f"{HOME}/scores/ds=2026-01-01/run_id={run}/a" for run in ("x", "y")], (), False),
        (
            [f"{HOME}/scores/ds=2026-01-01/run_id=x/{name}" for name in "ab"],
            (date(2026, 1, 1),),
            False,
        ),
        ([f"{HOME}/ledger/{name}" for name in range(LOOSE_FILES)], (), False),
        ([f"{HOME}/ledger/{name}" for name in range(LOOSE_FILES + 1)], (), True),
        # A home whose own path looks like a day's folder.
        ([f"file:/x/ds=2026-01-01x/ledger/{name}" for name in "ab"], (), False),
    ],
)
def test_crowded_is_a_day_in_two_files_or_a_plain_table_in_many(
    files: list[str], days: tuple[date, ...], is_whole: bool
) -> None:
    found = crowded_files(files)
    assert (found.days, found.is_whole) == (days, is_whole)
    assert bool(found) == (bool(days) or is_whole)
