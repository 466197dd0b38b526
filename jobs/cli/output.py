"""How results reach stdout: lines, tables and JSON in which data are never markup."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from feature_store.text import visible

_MEASURED_ROWS = 1000
"""Columns are as wide as in so many rows: a table of millions is printed as it comes."""

# JSON may hold these as they are, and a terminal obeys some of them.
_TERMINAL = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}


def print_line(text: str) -> None:
    """Print one line of a result."""
    print(visible(text))


def json_text(found: Mapping[str, Any]) -> str:
    """Return one JSON object on one line, readable where stdout can encode it."""
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(found, ensure_ascii=not is_unicode).translate(_TERMINAL)


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object per line."""
    for row in rows:
        print(json_text(row))


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()
) -> None:
    """Print rows below their titles, the columns in `right` to the right.

    Nothing is cut off or wrapped, so that a line is a row in a pipe as well.
    """
    from rich.cells import cell_len

    texts = ([visible(value) for value in row] for row in rows)
    measured = list(islice(texts, _MEASURED_ROWS))
    widths = [
        max(cell_len(text) for text in column)
        for column in zip([visible(title) for title in titles], *measured, strict=True)
    ]
    for row in chain([[visible(title) for title in titles]], measured, texts):
        cells = []
        for title, text, width in zip(titles, row, widths, strict=True):
            space = " " * (width - cell_len(text))
            cells.append(space + text if title in right else text + space)
        print("  ".join(cells).rstrip())
