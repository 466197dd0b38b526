"""The base of what files are tried with: a definition, and a day's delivery of two rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from feature_store.definition import (
    Categorical,
    Column,
    Definition,
    History,
    Known,
    Label,
    Numeric,
    Rows,
    Stream,
)
from feature_store.sources.files import DailyFiles

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_DAY = date(2026, 1, 2)

COLUMNS = (
    Column(name="user", dtype="string", known="plan", nullable=False),
    Column(name="item", dtype="bigint", known="plan", nullable=False),
    Column(name="price", dtype="double", known="plan"),
    Column(name="stock", dtype="int", known="plan"),
    Column(name="planned_at", dtype="timestamp", known="plan", nullable=False),
    Column(name="happened_at", dtype="timestamp", known="plan", nullable=False),
    Column(name="clicked", dtype="boolean", known="click"),
    Column(name="click_known_at", dtype="timestamp", known="click"),
)
NAMES = tuple(column.name for column in COLUMNS)


def delivered(folder: Path, kind: Literal["csv", "parquet"] = "csv") -> Definition:
    """Return a definition over the files in `folder`."""
    stream = Stream(
        name="delivered",
        source=DailyFiles(folder=str(folder), format=kind),
        keys=("user", "item"),
        event_time="happened_at",
        knowns=(
            Known(name="plan", at="planned_at"),
            Known(name="click", at="click_known_at", after_event=True),
        ),
        columns=COLUMNS,
        first_day=FIRST_DAY,
        max_bad_share=0.5,
    )
    return Definition(
        name="delivered",
        description="rows that somebody else delivers",
        spine=Rows(stream),
        labels=(Label(name="clicked", expression="clicked", known="click"),),
        features=(
            Categorical(name="user", column="user"),
            Categorical(name="item", column="item"),
            Numeric(name="price", column="price"),
        ),
        histories=(
            History(name="ctr", keys=("user",), value="clicked", known="click", windows=(3,)),
        ),
        first_day=FIRST_DAY,
    )


def at(day: date, hours: float) -> datetime:
    """Return the instant `hours` after the midnight that begins `day`."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours)


def rows(day: date) -> list[dict[str, Any]]:
    """Return the two rows of a day, as Python values."""
    times = {
        "planned_at": at(day, -6),
        "happened_at": at(day, 12),
        "click_known_at": at(day, 20),
    }
    return [
        {"user": "u1", "item": 100, "price": 1.5, "stock": 3, "clicked": True, **times},
        {"user": "u2", "item": 101, "price": 2.0, "stock": 4, "clicked": False, **times},
    ]


def csv_line(row: dict[str, Any]) -> str:
    """Return a row as a CSV file has it; text stays as it is."""

    def text(value: object) -> str:
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%d %H:%M:%S")
        return "" if value is None else str(value)

    return ",".join(text(row[name]) for name in NAMES)


def csv_text(day: date, **changes: Any) -> str:
    """Return a day's CSV file, `changes` made to its first row."""
    first, second = rows(day)
    lines = [",".join(NAMES), csv_line({**first, **changes}), csv_line(second)]
    return "\n".join(lines) + "\n"


def table(day: date, **columns: pa.Array | None) -> pa.Table:
    """Return a day as Arrow; `columns` take the place of its own, None takes one away."""
    import pyarrow as pa

    listed = rows(day)
    found = {name: pa.array([row[name] for row in listed]) for name in NAMES}
    return pa.table({k: v for k, v in {**found, **columns}.items() if v is not None})


def put(folder: Path, day: date, name: str, content: str | bytes | pa.Table) -> Path:
    """Write a file of a day and return its path."""
    import pyarrow.parquet as pq

    path = folder / f"ds={day}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_bytes(content.encode())
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pq.write_table(content, path)
    return path
