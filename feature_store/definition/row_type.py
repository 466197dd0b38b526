"""What a row has: its columns, which of them identify it, and when they are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from feature_store.definition.expressions import columns_of
from feature_store.definition.parts import Column, Known, plain


@dataclass(frozen=True, kw_only=True, slots=True)
class RowType:
    """The columns of a row, and when they are known: of a stream, or of what is scored."""

    name: str
    """What it is called; of a stream also the folder of its tables."""
    keys: tuple[str, ...]
    """Columns that, with `ds`, identify one row."""
    knowns: tuple[Known, ...]
    """The groups of columns by when they become known."""
    columns: tuple[Column, ...]
    """What is read of the source; what else it holds is of no interest."""
    max_known_days: int = 366
    """Days after `ds` within which each of its columns becomes known, at the latest."""

    def known(self, name: str) -> Known:
        """Return the known-at group of that name."""
        return next(group for group in self.knowns if group.name == name)

    def column(self, name: str) -> Column:
        """Return the column of that name."""
        return next(column for column in self.columns if column.name == name)

    def taken_by(self, expression: str) -> frozenset[str]:
        """Return the columns that an expression takes."""
        return columns_of(expression, {column.name for column in self.columns})

    @property
    def types(self) -> dict[str, str]:
        """The declared type of each column."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def knowledge(self) -> list[Any]:
        """What decides which values of a row were known in time, as JSON-ready data."""
        known = {column.name: column.known for column in self.columns}
        return [plain(self.knowns), known, list(self.keys)]
