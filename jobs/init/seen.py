"""A table with what its columns are called and taken for: what all guesses are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_store.sources.instants import Unit, instants_of
from jobs.init.kinds import Kind, kind_of
from jobs.init.names import declared_names
from jobs.init.table import DS, ColumnLook, Table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Instants = NDArray[np.datetime64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What was seen of the columns that can be declared, by declared name."""

    table: Table
    looks: dict[str, ColumnLook]
    kinds: dict[str, Kind]
    without: dict[str, str]
    """Columns that cannot be declared, by the files' name, and why."""

    @classmethod
    def of(cls, table: Table) -> Seen:
        """Return what was seen of a table."""
        names, without = declared_names([column.name for column in table.columns])
        looks = {names[c.name]: c for c in table.columns if c.name in names}
        kinds = {name: kind_of(look, name) for name, look in looks.items()}
        for name in [name for name, kind in kinds.items() if kind.dtype is None]:
            without[looks[name].name] = kinds.pop(name).why
            del looks[name]
        return cls(table=table, looks=looks, kinds=kinds, without=without)

    def values(self, name: str) -> pa.Array:
        """Return a column of the sample, as raw as it is; a word that stands for a null is one."""
        import pyarrow as pa
        import pyarrow.compute as pc

        look = self.looks[name]
        values = _whole(self.table.sample.column(look.name))
        if not look.words:
            return values
        is_null = pc.is_in(values, pa.array(look.words))
        return pc.if_else(is_null, pa.scalar(None, pa.string()), values)

    def instants(self, name: str) -> Instants:
        """Return the times of a column of the sample; NaT where there is none."""
        return instants(self.values(name), self.kinds[name].unit)

    def file_days(self) -> Instants:
        """Return the day that the place of each row's file says."""
        return instants(_whole(self.table.sample.column(DS)), None).astype("datetime64[D]")

    def share(self, name: str) -> float:
        """Return how many different values there are for each row that has one."""
        look = self.looks[name]
        return look.distinct / look.filled if look.filled else 0.0

    def is_constant(self, name: str) -> bool:
        """Whether every row that has a value has the same."""
        look = self.looks[name]
        return look.is_exact and look.distinct == 1


def instants(values: pa.Array, unit: Unit | None) -> Instants:
    """Return times as numpy holds them."""
    import numpy as np
    import pyarrow as pa

    micros: NDArray[Any] = np.asarray(instants_of(values, unit).cast(pa.timestamp("us")))
    return micros.astype("datetime64[us]")


def _whole(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)
