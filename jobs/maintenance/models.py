"""Clean-up of models: bundles that nobody scores with, and the rows that only these learned from.

A version stays in MLflow for ever, with its metrics and what it was made by; it is tagged with the
time its bundle was removed, and asking for it says so.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.schema import TRAINING_SETS
from jobs.maintenance.removal import put_away, sweep
from jobs.night.ledger import history
from jobs.registry import model_registry
from jobs.registry.trainings import unjudged

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.registry.model_registry import ModelRef

log = logging.getLogger(__name__)

_SET_ID = re.compile(r"[0-9a-f]{16}\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRetention:
    """Which bundles are kept beside the champion's and the challenger's."""

    used_days: int = 30
    """Those that scored a run which was published in the last so many days."""
    newest: int = 5
    """And so many of the newest versions."""
    set_hours: float = 48.0
    """A training set that was wanted in the last so many hours may be of a training at work."""
    unjudged_days: int = 30
    """So is, for so many days, one that was frozen for a training which has no verdict yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelsMaintained:
    """What was removed, or would be."""

    bundles_removed: tuple[str, ...]
    """Titles of the versions."""
    training_sets_removed: tuple[str, ...]
    """Ids."""


def maintain_models(
    context: Context,
    retention: ModelRetention,
    on_progress: Callable[[str], None],
    *,
    dry_run: bool,
) -> ModelsMaintained:
    """Remove the bundles and training sets of a pipeline that nothing uses.

    With `dry_run` only say which. An object store holds neither (README, Beyond one machine).
    """
    home, pipeline = context.home, context.definition.name
    if not home.is_local:
        return ModelsMaintained(bundles_removed=(), training_sets_removed=())
    known = model_registry.list_models(home, pipeline)
    kept = kept_models(known, _used_versions(context, retention), retention.newest)
    bundles = [ref for ref in removable_bundles(known, kept) if _is_left(ref)]
    waiting = datetime.now(UTC) - timedelta(days=retention.unjudged_days)
    in_use = {Path(one.recipe.location).name for one in unjudged(home, pipeline, waiting)}
    there = [set_id for set_id in set_ids(context) if set_id not in in_use]
    sets = _old_sets(context, removable_sets(known, kept, there), retention)
    if not dry_run:
        bundles = [ref for ref in bundles if _remove_bundle(context, ref)]
        for ref in bundles:
            on_progress(f"removed the bundle of {ref.title}")
        for set_id in sets:
            put_away(_sets_folder(context) / set_id)
            log.info("removed training_set=%s", set_id)
            on_progress(f"removed training set {set_id}")
        sweep(_sets_folder(context))
    log.info(
        "step=maintain_models pipeline=%s known=%d bundles=%d training_sets=%d dry_run=%d",
        pipeline, len(known), len(bundles), len(sets), dry_run,
    )  # fmt: skip
    return ModelsMaintained(
        bundles_removed=tuple(ref.title for ref in bundles), training_sets_removed=tuple(sets)
    )


def kept_models(known: Sequence[ModelRef], used: Collection[int], newest: int) -> list[ModelRef]:
    """Return the versions whose bundles stay: with an alias, used, or among the newest.

    Args:
        known: every version of a pipeline.
        used: versions that scored what was published lately.
        newest: how many of the newest to keep, of those that still have a bundle.
    """
    complete = [ref for ref in known if not ref.removed_at]
    latest = sorted((ref.version for ref in complete), reverse=True)[:newest]
    stay = {*used, *latest}
    return [ref for ref in complete if ref.aliases or ref.version in stay]


def removable_bundles(known: Sequence[ModelRef], kept: Sequence[ModelRef]) -> list[ModelRef]:
    """Return the versions whose folders no kept version has too, oldest first."""
    versions, paths = {ref.version for ref in kept}, {ref.path for ref in kept}
    found = [ref for ref in known if ref.version not in versions and ref.path not in paths]
    return sorted(found, key=lambda ref: ref.version)


def removable_sets(
    known: Sequence[ModelRef], kept: Sequence[ModelRef], there: Sequence[str]
) -> list[str]:
    """Return the training sets that no kept version learned from.

    None at all while a kept version does not say what it learned from.
    """
    if any(not ref.training_set for ref in kept):
        return []
    wanted = {ref.training_set for ref in kept}
    return sorted(set_id for set_id in there if set_id not in wanted)


def mark_wanted(context: Context, set_id: str) -> None:
    """Say that a training set is wanted now, so that it is not removed during a training."""
    if context.home.is_local:
        os.utime(_sets_folder(context) / set_id)


def _used_versions(context: Context, retention: ModelRetention) -> set[int]:
    since = datetime.now(UTC) - timedelta(days=retention.used_days)
    return {row.model_version for row in history(context) if row.published_at >= since}


def _is_left(ref: ModelRef) -> bool:
    """Whether there is something to do: a removal that was killed is taken up again."""
    return not ref.removed_at or Path(ref.path).exists()


def _remove_bundle(context: Context, ref: ModelRef) -> bool:
    """Tag the version, then remove its folder: what is half removed is never loaded.

    Returns whether it was: a version that got an alias meanwhile keeps its bundle.
    """
    home, pipeline = context.home, context.definition.name
    now = model_registry.list_models(home, pipeline)
    if any(one.aliases for one in now if one.path == ref.path):
        return False
    if not ref.removed_at:
        model_registry.mark_removed(home, pipeline, ref.version, datetime.now(UTC))
    shutil.rmtree(ref.path, ignore_errors=True)
    log.info("removed bundle=%s version=%d", ref.path, ref.version)
    return True


def _sets_folder(context: Context) -> Path:
    return Path(context.home.table(context.definition.name, TRAINING_SETS))


def set_ids(context: Context) -> Iterator[str]:
    """Yield the ids of the frozen sets there are; anything else in the folder is not ours."""
    folder = _sets_folder(context)
    for entry in folder.iterdir() if folder.is_dir() else ():
        if _SET_ID.match(entry.name) and entry.is_dir() and not entry.is_symlink():
            yield entry.name


def _old_sets(context: Context, sets: Sequence[str], retention: ModelRetention) -> list[str]:
    oldest = time.time() - retention.set_hours * 3600
    folder = _sets_folder(context)
    return [set_id for set_id in sets if (folder / set_id).stat().st_mtime < oldest]
