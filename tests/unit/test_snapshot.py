"""Promises of reading a Delta table without Spark: what another reader of Delta finds, is found."""

from __future__ import annotations

from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from feature_store.errors import TableDamaged
from feature_store.tables.snapshot import read_rows
from feature_store.tables.storage import LocalStorage
from feature_store.tables.table_log import LogTip, Remembered, TableLog


def test_rows_and_id_are_read_from_a_checkpoint_and_the_commits_after_it(tmp_path: Path) -> None:
    place = str(tmp_path / "lineage")
    for mode, values in (("append", [1, 2]), ("append", [3]), ("overwrite", [4, 5])):
        deltalake.write_deltalake(place, pa.table({"x": values}), mode=mode)
    deltalake.DeltaTable(place).create_checkpoint()
    deltalake.write_deltalake(place, pa.table({"x": [6]}), mode="append")
    for version in range(3):
        Path(place, "_delta_log", f"{version:020d}.json").unlink()

    assert sorted(row["x"] for row in read_rows(LocalStorage(), place, "toy")) == [4, 5, 6]
    log = TableLog(LogTip(place, LocalStorage()), "lineage", 1)
    log.look(lambda _: Remembered())
    assert (log.table_id, log.version) == (str(deltalake.DeltaTable(place).metadata().id), 3)

    for file in Path(place).glob("*.parquet"):
        file.unlink()
    with pytest.raises(TableDamaged, match=r"toy at .*lineage cannot be read"):
        list(read_rows(LocalStorage(), place, "toy"))
