"""docs/reference.md says of every field that a person writes what its docstring says.

    python -m tests.unit.test_reference

writes the page as the code is now.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import pytest

from feature_store import definition as package
from tests.reference import PAGE, RENEW, Entry, entries, entry, page

MADE_BY_CODE = {"RowType", "Tiling"}
"""Exported for the code that works with definitions; a stream or a pipeline never writes them."""


@dataclass(kw_only=True)
class _Base:
    """What others share."""

    name: str


@dataclass(kw_only=True)
class _Untold:
    size: int


@dataclass(kw_only=True)
class _Example(_Base):
    """An example, such as one that has `size`. It has more to say.

    Raises:
        ValueError: it is
            too large.
        TypeError: it is none.
    """

    size: int | None = 1_000
    parts: tuple[
        str, ...
    ] = field(default=(), metadata={"is_data": True})  # fmt: skip
    """What it is
    made of."""
    limit: float = field(metadata={})
    made: list[str] = field(default_factory=list)
    worked_out: int = field(init=False)
    """Nobody writes it."""


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == page(), f"docs/reference.md is not as the code is now: {RENEW}"


@pytest.mark.parametrize("one", entries(), ids=lambda one: one.name)
def test_every_field_says_what_it_means(one: Entry) -> None:
    assert one.text, f"{one.name} has no docstring"
    assert not one.untold, (
        f"{one.name}: nothing says what {', '.join(one.untold)} mean. Write a text below the "
        f"field, or name it in the docstring of the class. Then {RENEW}"
    )


def test_all_that_a_person_writes_can_be_imported_and_is_told() -> None:
    exported = {name: getattr(package, name) for name in package.__all__}
    dataclasses_there = {
        name for name, value in exported.items() if dataclasses.is_dataclass(value)
    }
    assert {one.name for one in entries()} == dataclasses_there - MADE_BY_CODE


def test_a_field_is_told_as_the_code_writes_it() -> None:
    told = {f.name: (f.type, f.default, f.meaning) for f in entry(_Example).fields}
    assert told == {
        "name": ("str", "", ""),
        "size": ("int | None", "1_000", ""),
        "parts": ("tuple[ str, ... ]", "()", "What it is made of."),
        "limit": ("float", "", ""),
        "made": ("list[str]", "list", ""),
    }


def test_a_field_that_nothing_tells_of_is_found() -> None:
    assert (entry(_Untold).text, entry(_Untold).untold) == ("", ["size"])
    found = entry(_Example)
    assert found.untold == ["name", "limit", "made"], "`size` is named by the docstring"
    assert found.summary == "An example, such as one that has `size`."
    assert found.text.endswith(
        "Raises `ValueError`: it is too large.\n\nRaises `TypeError`: it is none."
    )


if __name__ == "__main__":
    PAGE.write_text(page())
