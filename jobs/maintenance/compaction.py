"""Which tables and days lie in more files than a reader should have to open.

Only these are rewritten: what a night wrote whole is one file a day already, and stays as it is for
as long as it is kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import unquote

from feature_store.schema import DS

if TYPE_CHECKING:
    from jobs.context import Context

LOOSE_FILES = 16
"""Files of a table without partitions, one a commit, above which they are made one: a look at it
then opens at most so many and one."""

_DAY = re.compile(rf"/{DS}=(\d{{4}}-\d\d-\d\d)/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowded:
    """What of a table is to be compacted."""

    days: tuple[date, ...] = ()
    """Days, or days of a run, in more than one file."""
    is_whole: bool = False
    """Whether it is the whole of a table without partitions."""

    def __bool__(self) -> bool:
        return self.is_whole or bool(self.days)


def crowded(context: Context, table: str) -> Crowded:
    """Return what of a table, as it is now, lies in too many files; reads none of them."""
    version = context.warehouse.version(table)
    return crowded_files(context.warehouse.read(table, version=version).inputFiles())


def crowded_files(files: Iterable[str]) -> Crowded:
    """Return what lies in too many of these files, by the folders that Delta put them in."""
    folders = Counter(unquote(file).rpartition("/")[0] + "/" for file in files)
    days = {folder: match.group(1) for folder in folders if (match := _DAY.search(folder))}
    several = {date.fromisoformat(day) for folder, day in days.items() if folders[folder] > 1}
    loose = sum(count for folder, count in folders.items() if folder not in days)
    return Crowded(days=tuple(sorted(several)), is_whole=loose > LOOSE_FILES)


def compact(context: Context, table: str) -> Crowded:
    """Make one file of each crowded place, and return where that was; no row and no pin changes."""
    found = crowded(context, table)
    if found.is_whole:
        context.warehouse.compact(table)
    elif found.days:
        context.warehouse.compact(table, found.days)
    return found
