"""Checkpoints of a training: taken at intervals and when it is asked to stop, gone on from exactly.

    checkpoint.json                     where the training stood, and which file holds its tensors
    checkpoint-<digest12>.safetensors   weights, best weights, optimiser, averages

The JSON file is what counts, and takes the place of the one before it whole: a kill at any moment
leaves one of the two. Both files are verified by digest before anything of them is used, and
nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load, save
from torch import Tensor

from models.digests import content_digest
from models.errors import CheckpointInvalid, Stopped
from models.training.files import write_whole
from models.training.stopping import Stop

if TYPE_CHECKING:
    from models.training.distributed import Group

log = logging.getLogger(__name__)

FORMAT = 1
CHECKPOINT = "checkpoint.json"
_TENSORS = "checkpoint-{}.safetensors"
GO_ON, KEEP, STOP = 0.0, 1.0, 2.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Snapshot:
    """Where a training stands between two steps."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]
    """JSON-ready."""

    def below(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors named `prefix.…`, by the rest of their names."""
        start = f"{prefix}."
        return {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}


@dataclass(kw_only=True)
class Checkpoints:
    """The checkpoints of one training."""

    folder: Path | None
    """None keeps none. All processes of a training must see the same folder."""
    training: str
    """What tells this training from every other; a checkpoint of another is refused."""
    every: float = 300.0
    """Seconds."""
    stop: Stop = field(default_factory=Stop)
    _last: float = field(default_factory=time.monotonic, repr=False)

    @classmethod
    def none(cls) -> Checkpoints:
        """Return what keeps no checkpoint."""
        return cls(folder=None, training="")

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let a wish to stop wait for `after_step` during the block."""
        with self.stop.held():
            yield

    def after_step(self, group: Group, take: Callable[[], Snapshot]) -> None:
        """Keep a checkpoint if one is due, and stop if that is asked for.

        Called by all processes after the same steps; the leader writes.

        Raises:
            Stopped: one of the processes was asked to.
        """
        wish = group.largest_number(self._wish(group))
        if wish == GO_ON:
            return
        snapshot = take()
        if self.folder is not None and group.leads:
            self.save(snapshot)
        self._last = time.monotonic()
        if wish == STOP:
            raise Stopped(self._where(snapshot))

    def _wish(self, group: Group) -> float:
        if self.stop.is_asked:
            return STOP
        is_due = group.leads and time.monotonic() - self._last >= self.every
        return KEEP if is_due and self.folder is not None else GO_ON

    def _where(self, snapshot: Snapshot) -> str:
        kept = f"; {self.folder / CHECKPOINT} holds it" if self.folder else ""
        return f" in epoch {snapshot.numbers['epoch']} after step {snapshot.numbers['step']}{kept}"

    def save(self, snapshot: Snapshot) -> None:
        """Write a checkpoint in the place of the one before."""
        assert self.folder is not None  # noqa: S101 - asked before
        started = time.monotonic()
        raw = save({n: t.detach().cpu().contiguous() for n, t in snapshot.tensors.items()})
        digest = hashlib.sha256(raw).hexdigest()
        write_whole(self.folder / _TENSORS.format(digest[:12]), raw)
        content: dict[str, Any] = {
            "format": FORMAT,
            "training": self.training,
            "tensors": digest,
            "numbers": dict(snapshot.numbers),
        }
        text = json.dumps({"sha256": content_digest(content), "checkpoint": content}, indent=1)
        write_whole(self.folder / CHECKPOINT, text.encode())
        self._remove(keep=_TENSORS.format(digest[:12]))
        log.info(
            "checkpoint=%s epoch=%d step=%d bytes=%d seconds=%.2f",
            self.folder, content["numbers"]["epoch"], content["numbers"]["step"], len(raw),
            time.monotonic() - started,
        )  # fmt: skip

    def load(self, made_by: Mapping[str, Any]) -> Snapshot | None:
        """Return the checkpoint there is, if there is one.

        Args:
            made_by: numbers that must be what they were when it was taken.

        Raises:
            CheckpointInvalid: it is damaged, of another training, or was taken otherwise.
        """
        if self.folder is None or not (self.folder / CHECKPOINT).is_file():
            return None
        path = self.folder / CHECKPOINT
        content = _read(path)
        if content["training"] != self.training:
            raise CheckpointInvalid(path, "is of another recipe")
        numbers = content["numbers"]
        for name, value in made_by.items():
            if numbers[name] != value:
                raise CheckpointInvalid(
                    path, f"was taken with {name}={numbers[name]}, this training has {value}: it "
                    "can only be gone on from with the same"
                )  # fmt: skip
        raw = _bytes(self.folder / _TENSORS.format(content["tensors"][:12]), content["tensors"])
        log.info("resumed=%s epoch=%d step=%d", path, numbers["epoch"], numbers["step"])
        return Snapshot(tensors=load(raw), numbers=numbers)

    def clear(self) -> None:
        """Remove the checkpoint, and what killed writes left of others."""
        if self.folder is not None and self.folder.is_dir():
            (self.folder / CHECKPOINT).unlink(missing_ok=True)
            self._remove()

    def _remove(self, keep: str = "") -> None:
        assert self.folder is not None  # noqa: S101 - asked before
        for pattern in (_TENSORS.format("*"), f".{CHECKPOINT}.*", f".{_TENSORS.format('*')}.*"):
            for path in self.folder.glob(pattern):
                if path.name != keep:
                    path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        content: dict[str, Any] = told["checkpoint"]
        pinned, number = told["sha256"], content["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointInvalid(path, f"cannot be read: {error!r}") from error
    if content_digest(content) != pinned:
        raise CheckpointInvalid(path, "was changed: its digest is not the one it names")
    if number != FORMAT:
        raise CheckpointInvalid(path, f"has format {number}; this code reads {FORMAT}")
    return content


def _bytes(path: Path, expected: str) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointInvalid(path, f"cannot be read: {error.strerror}") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != expected:
        raise CheckpointInvalid(path, f"sha256 is {found[:12]}…, was {expected[:12]}…")
    return raw
