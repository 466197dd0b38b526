"""What is said of a table whose files are not what they should be."""

from __future__ import annotations

from feature_store.errors import TableDamaged


def damaged_log(where: str, why: str) -> TableDamaged:
    """Return the error that a file of a log is not what it should be."""
    return TableDamaged(
        f"{where}: the log file {why}: the disk was full, or it was damaged. Put it back from a "
        "copy; or, if it is the newest of its folder, delete it: the table is then as it was "
        "before that commit, and the days it wrote are made again when they are asked for"
    )


def damaged_table(what: str, reason: str) -> TableDamaged:
    """Return the error that a table cannot be read, why, and what to do."""
    return TableDamaged(
        f"{what} cannot be read: {reason}. A file of the table is gone or broken (vacuumed by "
        "somebody else, say). Put it back from a copy; or delete the folder of the table: its days "
        "are made again when they are asked for"
    )
