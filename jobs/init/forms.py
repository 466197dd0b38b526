"""The forms that a text may have, told as strictly as values are told when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"

FORMS = {
    "whole": r"^\s*[+-]?[0-9]+(\.0+)?\s*$",
    "number": r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$",
    "padded": r"^\s*[+-]?0[0-9]+\s*$",
    "truth": r"(?i)^\s*(true|false|t|f|1|0|1\.0|0\.0)\s*$",
    "answer": r"(?i)^(yes|no|y|n)$",
    "day": rf"^\s*{_DAY}\s*$",
    "time": rf"^\s*{_DAY}[T ]{_CLOCK} ?(Z|UTC|[+-][0-9]{{2}}:?[0-9]{{2}})?\s*$",
    "mark": r"(?i)^(na|n/a|nan|null|none|nil|\\n|-|\?)$",
}
"""`day` and `time` exclude each other; a whole number is a number too. A `mark` stands for a null
elsewhere; here in CSV only an empty value is one, unless it is told of."""


def forms_of(values: pa.Array, counts: pa.Array) -> dict[str, int]:
    """Return how many texts have each form, of which there are so many of each value."""
    import pyarrow.compute as pc

    found = {}
    for name, pattern in FORMS.items():
        count = pc.sum(counts.filter(pc.match_substring_regex(values, pattern))).as_py()
        if count:
            found[name] = int(count)
    return found


def marks_of(values: pa.Array) -> list[str]:
    """Return the words among texts that stand for a null elsewhere."""
    import pyarrow.compute as pc

    words: list[str] = values.filter(pc.match_substring_regex(values, FORMS["mark"])).to_pylist()
    return words


def numbers_of(text: pa.Array) -> pa.Array:
    """Return the numbers that texts of the form `number` say."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = pc.utf8_ltrim(pc.utf8_trim_whitespace(text), "+")
    return bare.cast(pa.float64())
