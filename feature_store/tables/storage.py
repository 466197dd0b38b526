"""Small files of a table's log: read by Python where they are local, through Hadoop elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Storage(Protocol):
    """Where folders and files of tables lie."""

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder; empty where there is none."""

    def stamp(self, file: str) -> tuple[int, int] | None:
        """Return (size in bytes, time of the last change) of a file, or None where there is none.

        The same stamp means the same file: files of a log are written once.
        """

    def read(self, file: str) -> bytes:
        """Return what is in a file.

        Raises:
            FileNotFoundError: there is none.
        """


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """Folders of this machine."""

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder; empty where there is none."""
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []

    def stamp(self, file: str) -> tuple[int, int] | None:
        """Return (size in bytes, nanosecond of the last change), or None where there is none."""
        try:
            found = os.stat(file)
        except FileNotFoundError:
            return None
        return found.st_size, found.st_mtime_ns

    def read(self, file: str) -> bytes:
        """Return what is in a file."""
        return Path(file).read_bytes()


@dataclass(frozen=True, slots=True)
class HadoopStorage:
    """Whatever Spark has a file system for."""

    spark: SparkSession

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder; empty where there is none."""
        system, path = self._open(folder)
        if not system.exists(path):
            return []
        jvm: Any = self.spark._jvm
        # One call for all: a call of py4j per file would cost more than the listing.
        paths = jvm.org.apache.hadoop.fs.FileUtil.stat2Paths(system.listStatus(path))
        joined = str(jvm.java.util.Arrays.toString(paths))[1:-1]
        return [name.rpartition("/")[2] for name in joined.split(", ") if name]

    def stamp(self, file: str) -> tuple[int, int] | None:
        """Return (size in bytes, millisecond of the last change), or None where there is none."""
        system, path = self._open(file)
        if not system.exists(path):
            return None
        status = system.getFileStatus(path)
        return int(status.getLen()), int(status.getModificationTime())

    def read(self, file: str) -> bytes:
        """Return what is in a file."""
        system, path = self._open(file)
        if not system.exists(path):
            raise FileNotFoundError(file)
        stream = system.open(path)
        jvm: Any = self.spark._jvm
        try:
            return bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
        finally:
            stream.close()

    def _open(self, place: str) -> tuple[Any, Any]:
        jvm: Any = self.spark._jvm
        path = jvm.org.apache.hadoop.fs.Path(place)
        state: Any = self.spark._jsparkSession.sessionState()
        return path.getFileSystem(state.newHadoopConf()), path
