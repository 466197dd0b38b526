"""Code that makes a table's rows changed: somebody must say whether the rows did.

    python -m tests.unit.test_revisions

records the code as it is now, once the revisions in `jobs/version.py` are right.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from jobs.version import MADE_BY, REVISIONS

ROOT = Path(__file__).resolve().parents[2]
RECORD = Path(__file__).with_name("revisions.json")


def digest_of(patterns: tuple[str, ...]) -> str:
    """Return the digest of the files' names and contents."""
    files = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    told = hashlib.sha256()
    for path in files:
        told.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return told.hexdigest()[:16]


def found() -> dict[str, dict[str, object]]:
    return {
        table: {"revision": revision, "code": digest_of(MADE_BY[table])}
        for table, revision in REVISIONS.items()
    }


@pytest.mark.parametrize("table", list(REVISIONS))
def test_a_table_has_the_revision_of_the_code_that_makes_it(table: str) -> None:
    recorded = json.loads(RECORD.read_text())
    assert found()[table] == recorded.get(table), (
        f"the code behind {table} ({', '.join(MADE_BY[table])}) changed. If its rows may differ "
        f"from before, raise REVISIONS[{table!r}] in jobs/version.py, so that plans call them "
        "stale. Then record the code: python -m tests.unit.test_revisions"
    )


def test_every_pattern_names_files() -> None:
    assert set(MADE_BY) == set(REVISIONS)
    for pattern in {pattern for patterns in MADE_BY.values() for pattern in patterns}:
        assert list(ROOT.glob(pattern)), pattern


if __name__ == "__main__":
    RECORD.write_text(json.dumps(found(), indent=2) + "\n")
