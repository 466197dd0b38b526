"""Which models a pipeline has and which one is champion: MLflow's registry, on SQLite by default.

The bundle itself lies under the home, at `bundles/<pipeline>/<model>-<digest12>`; MLflow holds the
folder's name and the digest that pins every byte of it. MLflow is asked only when its database
changed since the last answer (`jobs.registry.registry_cache`): importing it takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from feature_store.errors import NightscoreError, NoChampion, UsageError
from jobs.registry import mlflow_client, registry_cache
from jobs.registry.mlflow_client import EXISTS, NOT_THERE, client, database, log_run
from models.errors import BundleInvalid, BundleTampered

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from feature_store.home import Home

log = logging.getLogger(__name__)

CHAMPION = "champion"
CHALLENGER = "challenger"
BUNDLES = "bundles"
MANIFEST = "manifest.json"
_OUR_TAGS = ("model", "digest", "bundle", "metrics")
RECIPE = "recipe"
TRAINING_SET = "training_set"
REMOVED = "bundle_removed"
_MORE_TAGS = (RECIPE, TRAINING_SET, REMOVED)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRef:
    """One registered version: all that is needed to load exactly this model."""

    pipeline: str
    version: int
    model: str
    """The model's name in the zoo."""
    path: str
    """The bundle's folder."""
    digest: str
    """The sha256 of the bundle's manifest."""
    metrics: Mapping[str, float]
    """What it was registered with."""
    aliases: tuple[str, ...]
    """`champion`, `challenger`, both or none."""
    recipe: str = ""
    """`Recipe.key` of what it was made by; empty where it does not say."""
    training_set: str = ""
    """Id of the frozen rows it was trained on; empty where it does not say."""
    removed_at: str = ""
    """UTC time at which maintenance removed its bundle; empty while it has one."""

    @property
    def title(self) -> str:
        """What a person calls it, such as `finalmlp version 3`."""
        return f"{self.model} version {self.version}"

    @property
    def has_bundle(self) -> bool:
        """Whether the bundle's manifest is there; its files are verified by whoever loads it."""
        return (Path(self.path) / MANIFEST).is_file()


def new_bundle_path(home: Home, pipeline: str) -> Path:
    """Return a folder's name to save a bundle at, before `register` gives it its own."""
    return home.local_path(BUNDLES, pipeline, f"new-{uuid.uuid4().hex[:12]}")


def require_writable(home: Home, pipeline: str) -> None:
    """Find out before a training whether its model can be registered after it.

    Raises:
        NightscoreError: where models are kept cannot be written.
    """
    folder = home.local_path(BUNDLES, pipeline)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".writable-"):
        mlflow_client.require_writable(home, _registered_name(pipeline))


def register(
    home: Home,
    pipeline: str,
    bundle: Path,
    metrics: Mapping[str, float],
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    epochs: Sequence[Mapping[str, Any]] = (),
) -> ModelRef:
    """Give a saved bundle its place and its version; the same bundle keeps the version it has.

    Args:
        home: where bundles and the default database lie.
        pipeline: the pipeline's name.
        bundle: a folder that `models.scoring.bundle.save` wrote; moved below the home's bundles.
        metrics: numbers to show beside the version.
        params: how it was trained.
        tags: more to remember of the version.
        epochs: how each epoch of its training went, to draw as curves.
    """
    digest, model = _digest(bundle), _model_name(bundle)
    place = home.local_path(BUNDLES, pipeline, f"{model}-{digest[:12]}")
    _move(bundle, place, digest)
    mlflow, name = client(home), _registered_name(pipeline)
    _ensure_registered(mlflow, name)
    for ref in list_models(home, pipeline):
        if ref.digest == digest and not ref.removed_at:
            return ref
    created = mlflow.create_model_version(
        name,
        f"nightscore://{BUNDLES}/{pipeline}/{place.name}",
        run_id=log_run(mlflow, name, metrics, params, epochs),
        tags={
            **tags,
            "model": model,
            "digest": digest,
            "bundle": place.name,
            "metrics": json.dumps(dict(metrics), sort_keys=True),
        },
        await_creation_for=0,
    )
    log.info("registered model=%s version=%s digest=%s", name, created.version, digest[:12])
    return get(home, pipeline, int(created.version))


def champion(home: Home, pipeline: str) -> ModelRef:
    """Return the promoted model of a pipeline.

    Raises:
        NoChampion: none was promoted.
        BundleTampered: its manifest is not the one that was registered.
    """
    return get(home, pipeline, CHAMPION)


def get(home: Home, pipeline: str, which: str | int) -> ModelRef:
    """Return a version: by number, or by `champion` or `challenger`.

    The manifest is checked against the registered digest, so whoever loads the bundle by this
    reference loads every byte that was registered, or is refused.

    Raises:
        NoChampion: the champion was asked for and there is none.
        UsageError: there is no such version.
        BundleTampered: the manifest is not the one that was registered.
        BundleInvalid: the bundle is not there; maintenance may have removed it.
    """
    known = list_models(home, pipeline)
    version = _number(pipeline, which, known)
    for ref in known:
        if ref.version == version:
            _check_not_removed(ref)
            _check_manifest(ref)
            return ref
    listed = ", ".join(str(ref.version) for ref in reversed(known)) or "none"
    raise UsageError(f"{pipeline}: model version {version} does not exist; there are: {listed}")


def list_models(home: Home, pipeline: str) -> list[ModelRef]:
    """Return every version of a pipeline, newest first; bundles are not looked at."""
    path = database(home)
    if path is not None and not path.exists():
        return []  # to look is no reason to make one
    kept = home.local_path("registry-cache", f"{pipeline}.json") if path else None
    answer = registry_cache.load(kept, registry_cache.stamp(path)) if kept and path else None
    if answer is None:
        mlflow = client(home)
        given_at = registry_cache.stamp(path) if path else None
        answer = _ask(mlflow, _registered_name(pipeline))
        if kept:
            registry_cache.save(kept, given_at, answer)
    return [_ref(home, pipeline, version, answer["aliases"]) for version in answer["versions"]]


def promote(home: Home, pipeline: str, version: int, who: str, why: str) -> ModelRef:
    """Make a version the champion, after every byte of its bundle was verified.

    Raises:
        UsageError: there is no such version.
        BundleTampered: a file of its bundle is not the one that was registered.
    """
    from models.scoring.bundle import verify

    ref, mlflow, name = get(home, pipeline, version), client(home), _registered_name(pipeline)
    verify(Path(ref.path), ref.digest)
    before = next((r.version for r in list_models(home, pipeline) if CHAMPION in r.aliases), None)
    mlflow.set_registered_model_alias(name, CHAMPION, str(version))
    record = {"promoted_by": who, "promoted_why": why, "promoted_at": datetime.now(UTC).isoformat()}
    if before is not None and before != version:
        record["promoted_over"] = str(before)
    for key, value in record.items():
        mlflow.set_model_version_tag(name, str(version), key, value)
    if CHALLENGER in ref.aliases:
        mlflow.delete_registered_model_alias(name, CHALLENGER)
    log.info("promoted model=%s version=%d over=%s who=%s why=%s", name, version, before, who, why)
    return get(home, pipeline, version)


def challenge(home: Home, pipeline: str, version: int) -> ModelRef:
    """Make a version the challenger: looked at, not scored with."""
    mlflow, name = client(home), _registered_name(pipeline)
    mlflow.set_registered_model_alias(name, CHALLENGER, str(version))
    return get(home, pipeline, version)


def mark_removed(home: Home, pipeline: str, version: int, at: datetime) -> None:
    """Say of a version that its bundle is not kept any more; the version itself stays."""
    name = _registered_name(pipeline)
    client(home).set_model_version_tag(name, str(version), REMOVED, at.isoformat(" ", "seconds"))


def _registered_name(pipeline: str) -> str:
    return f"nightscore-{pipeline}"


def _ensure_registered(mlflow: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != EXISTS:
            raise


def _ask(mlflow: MlflowClient, name: str) -> dict[str, Any]:
    """Return aliases and versions, newest first, as JSON-ready data."""
    versions = [
        {
            "version": int(version.version),
            **{tag: version.tags[tag] for tag in _OUR_TAGS},
            **{tag: version.tags.get(tag, "") for tag in _MORE_TAGS},
        }
        for version in _versions(mlflow, name)
        if all(tag in version.tags for tag in _OUR_TAGS)
    ]
    aliases = _aliases(mlflow, name)
    return {"aliases": aliases, "versions": sorted(versions, key=lambda v: -v["version"])}


def _aliases(mlflow: MlflowClient, name: str) -> dict[str, int]:
    """Return alias -> version; empty where nothing was ever registered."""
    from mlflow.exceptions import MlflowException

    try:
        found = mlflow.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != NOT_THERE:
            raise
        return {}
    return {alias: int(version) for alias, version in found.items()}


def _versions(mlflow: MlflowClient, name: str) -> Iterator[ModelVersion]:
    page = mlflow.search_model_versions(f"name = '{name}'")
    yield from page
    while page.token:
        page = mlflow.search_model_versions(f"name = '{name}'", page_token=page.token)
        yield from page


def _number(pipeline: str, which: str | int, known: Sequence[ModelRef]) -> int:
    text = str(which)
    if text.isdigit():
        return int(text)
    for ref in known:
        if text in ref.aliases:
            return ref.version
    if text == CHAMPION:
        raise NoChampion(pipeline)
    raise UsageError(
        f"{pipeline}: model={text!r}: must be a version number or one of {CHAMPION}, {CHALLENGER}"
        + (f"; there is no {CHALLENGER} now" if text == CHALLENGER else "")
    )


def _ref(
    home: Home, pipeline: str, found: Mapping[str, Any], aliases: Mapping[str, int]
) -> ModelRef:
    return ModelRef(
        pipeline=pipeline,
        version=found["version"],
        model=found["model"],
        path=str(home.local_path(BUNDLES, pipeline, found["bundle"])),
        digest=found["digest"],
        metrics=json.loads(found["metrics"]),
        aliases=tuple(sorted(a for a, number in aliases.items() if number == found["version"])),
        # An answer that was kept by an earlier release has none of these.
        recipe=found.get(RECIPE, ""),
        training_set=found.get(TRAINING_SET, ""),
        removed_at=found.get(REMOVED, ""),
    )


def _move(bundle: Path, place: Path, digest: str) -> None:
    """Bring a bundle to its place; the same bundle already there wins, if it is still whole."""
    from models.scoring.bundle import verify

    if bundle == place:
        return
    if place.exists():
        if (found := _digest(place)) != digest:
            raise BundleTampered(place / MANIFEST, found, digest)
        try:
            verify(place, digest)
        except BundleInvalid as error:
            log.warning("bundle=%s mended by the same one made again: %s", place, error)
            shutil.rmtree(place)
        else:
            shutil.rmtree(bundle)
            return
    place.parent.mkdir(parents=True, exist_ok=True)
    bundle.rename(place)


def _digest(bundle: Path) -> str:
    try:
        return hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    except OSError as error:
        raise BundleInvalid(
            f"{bundle}: no readable {MANIFEST}: {error}. Restore the bundle, or promote another "
            "version"
        ) from error


def _model_name(bundle: Path) -> str:
    try:
        return str(json.loads((bundle / MANIFEST).read_text())["model"])
    except (ValueError, KeyError) as error:
        raise NightscoreError(f"{bundle / MANIFEST}: names no model: {error!r}") from error


def _check_not_removed(ref: ModelRef) -> None:
    if ref.removed_at:
        raise BundleInvalid(
            f"{ref.pipeline}: {ref.title}: its bundle was removed by nightscore maintain at "
            f"{ref.removed_at}, as nothing had used it for long. Choose another version "
            f"(nightscore models --pipeline {ref.pipeline}), or train it again"
        )


def _check_manifest(ref: ModelRef) -> None:
    found = _digest(Path(ref.path))
    if found != ref.digest:
        raise BundleTampered(Path(ref.path) / MANIFEST, found, ref.digest)
