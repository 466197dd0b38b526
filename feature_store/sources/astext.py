"""Files as text with all their columns: for people who look, not for a pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.definition import Column
from feature_store.raw import refusal
from feature_store.sources import csvfile, parquetfile
from feature_store.sources.readers import MARKS, Format

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PLAIN = re.compile(r"[A-Za-z_]\w*\Z")


def text_columns(paths: Iterable[Path], kind: Format, delimiter: str) -> list[str]:
    """Return the columns of all files that have a plain name and can be shown as text.

    Raises:
        SourceCorrupt: a file cannot be read.
    """
    # Spark does not tell two names apart that differ in case: the first is shown.
    spelt: dict[str, str] = {}
    for path in paths:
        for name in names_as_text(path, kind, delimiter):
            if _PLAIN.match(name) and name not in MARKS:
                spelt.setdefault(name.casefold(), name)
    return list(spelt.values())


def names_as_text(path: Path, kind: Format, delimiter: str) -> list[str]:
    """Return the columns of a file that can be text, whatever they are called.

    Raises:
        SourceCorrupt: the file cannot be read.
    """
    if kind == "csv":
        return csvfile.header(path, delimiter)
    types = parquetfile.types(path)
    return [n for n, t in types if t == parquetfile.NULL or not refusal(t, "string")]


def as_text(
    names: Sequence[str], read_parts: Callable[[Sequence[Column]], Sequence[DataFrame]]
) -> DataFrame:
    """Return what `read_parts` reads of the columns `names`, as text in one frame."""
    from pyspark.sql import functions as F

    parts = read_parts([Column(name=name, dtype="string", known="") for name in names])
    text = [part.select(*(F.col(n).cast("string") for n in names), *MARKS) for part in parts]
    return reduce(lambda left, right: left.unionByName(right), text)
