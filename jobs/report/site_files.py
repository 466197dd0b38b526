"""The files of the report site, in a folder or a store; each appears whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.context import Context

REPORTS = "reports"


def write(context: Context, place: str, text: str) -> None:
    """Write a file whole or not at all."""
    if not context.home.is_local:
        file_system, path = _remote(context, place)
        stream = file_system.create(path, True)  # an object appears when it is closed
        stream.write(bytearray(text.encode()))
        stream.close()
        return
    target = Path(place)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        made.write_text(text, encoding="utf-8")
        os.replace(made, target)
    finally:
        made.unlink(missing_ok=True)


def names(context: Context, place: str) -> list[str]:
    """Return what lies in a folder; nothing where there is none."""
    if context.home.is_local:
        folder = Path(place)
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    file_system, path = _remote(context, place)
    if not file_system.exists(path):
        return []
    return sorted(found.getPath().getName() for found in file_system.listStatus(path))


def texts(
    context: Context, place: str, suffix: str, newest: int | None = None
) -> Mapping[str, str]:
    """Return the text of the files of a folder whose names end so, by name.

    Args:
        context: where the folder lies.
        place: the folder.
        suffix: how their names end.
        newest: only so many of them, the last in the order of their names.
    """
    wanted = [n for n in names(context, place) if n.endswith(suffix) and not n.startswith(".")]
    wanted = wanted if newest is None else wanted[-newest:]
    if context.home.is_local:
        return {name: Path(place, name).read_text(encoding="utf-8") for name in wanted}
    if not wanted:
        return {}
    # One job for all of them: a request each would take longer with every night.
    listed = ",".join(f"{place}/{name}" for name in wanted)
    files = context.spark.sparkContext.wholeTextFiles(listed).collect()
    return {path.rpartition("/")[2]: text for path, text in files}


def _remote(context: Context, place: str) -> tuple[Any, Any]:
    jvm: Any = context.spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(place)
    session: Any = context.spark._jsparkSession
    return path.getFileSystem(session.sessionState().newHadoopConf()), path
