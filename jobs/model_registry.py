"""Which models a pipeline has and which one is champion: MLflow's registry, on SQLite by default.

The bundle itself lies under the home, at `bundles/<pipeline>/<model>-<digest12>`; MLflow holds the
folder's name and the digest that pins every byte of it. Importing MLflow takes seconds: it happens
at the first call, never when this module is imported.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.errors import NightscoreError, NoChampion, UsageError
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
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"


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

    @property
    def title(self) -> str:
        """What a person calls it, such as `finalmlp version 3`."""
        return f"{self.model} version {self.version}"


def new_bundle_path(home: Home, pipeline: str) -> Path:
    """Return a folder's name to save a bundle at, before `register` gives it its own."""
    return home.local_path(BUNDLES, pipeline, f"new-{uuid.uuid4().hex[:12]}")


def register(
    home: Home,
    pipeline: str,
    bundle: Path,
    metrics: Mapping[str, float],
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> ModelRef:
    """Give a saved bundle its place and its version; the same bundle keeps the version it has.

    Args:
        home: where bundles and the default database lie.
        pipeline: the pipeline's name.
        bundle: a folder that `models.bundle.save` wrote; moved below the home's bundles.
        metrics: numbers to show beside the version.
        params: how it was trained.
        tags: more to remember of the version.
    """
    digest, model = _digest(bundle), _model_name(bundle)
    place = home.local_path(BUNDLES, pipeline, f"{model}-{digest[:12]}")
    _move(bundle, place, digest)
    client, name = _client(home), _registered_name(pipeline)
    _ensure_registered(client, name)
    known = [ref for ref in list_models(home, pipeline) if ref.digest == digest]
    if known:
        return known[0]
    created = client.create_model_version(
        name,
        f"nightscore://{BUNDLES}/{pipeline}/{place.name}",
        run_id=_log_run(client, home, pipeline, metrics, params),
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
        BundleInvalid: the bundle is not there.
    """
    known = list_models(home, pipeline)
    version = _number(pipeline, which, known)
    for ref in known:
        if ref.version == version:
            _check_manifest(ref)
            return ref
    listed = ", ".join(str(ref.version) for ref in reversed(known)) or "none"
    raise UsageError(f"{pipeline}: model version {version} does not exist; there are: {listed}")


def list_models(home: Home, pipeline: str) -> list[ModelRef]:
    """Return every version of a pipeline, newest first; bundles are not looked at."""
    database = _database(tracking_uri(home))
    if database is not None and not database.exists():
        return []  # to look is no reason to make one
    client, name = _client(home), _registered_name(pipeline)
    aliases = _aliases(client, name)
    return [_ref(home, pipeline, version, aliases) for version in _versions(client, name)]


def promote(home: Home, pipeline: str, version: int, who: str, why: str) -> ModelRef:
    """Make a version the champion, after every byte of its bundle was verified.

    Raises:
        UsageError: there is no such version.
        BundleTampered: a file of its bundle is not the one that was registered.
    """
    from models.bundle import verify

    ref, client, name = get(home, pipeline, version), _client(home), _registered_name(pipeline)
    verify(Path(ref.path), ref.digest)
    before = next((r.version for r in list_models(home, pipeline) if CHAMPION in r.aliases), None)
    client.set_registered_model_alias(name, CHAMPION, str(version))
    record = {"promoted_by": who, "promoted_why": why, "promoted_at": datetime.now(UTC).isoformat()}
    if before is not None and before != version:
        record["promoted_over"] = str(before)
    for key, value in record.items():
        client.set_model_version_tag(name, str(version), key, value)
    if CHALLENGER in ref.aliases:
        client.delete_registered_model_alias(name, CHALLENGER)
    log.info("promoted model=%s version=%d over=%s who=%s why=%s", name, version, before, who, why)
    return get(home, pipeline, version)


def challenge(home: Home, pipeline: str, version: int) -> ModelRef:
    """Make a version the challenger: looked at, not scored with."""
    client, name = _client(home), _registered_name(pipeline)
    client.set_registered_model_alias(name, CHALLENGER, str(version))
    return get(home, pipeline, version)


def tracking_uri(home: Home) -> str:
    """Return where MLflow keeps its records: MLFLOW_TRACKING_URI, else SQLite under the home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.local_path('mlflow.db')}"


def _registered_name(pipeline: str) -> str:
    return f"nightscore-{pipeline}"


def _client(home: Home) -> MlflowClient:
    uri = tracking_uri(home)
    if (database := _database(uri)) is not None:
        _ensure_database(database)
    return _connect(uri)


def _database(uri: str) -> Path | None:
    """Return the file of a SQLite database, or None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


@cache
def _connect(uri: str) -> MlflowClient:
    # MLflow would report its use over the network, and tell of every migration.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with warnings.catch_warnings():  # of what MLflow asks of SQLAlchemy
        warnings.simplefilter("ignore")
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _ensure_database(path: Path) -> None:
    """Make MLflow's database if there is none, whole or not at all.

    MLflow's migrations take seconds; a kill amid them, or two processes at once, would leave a
    database that neither can use. So it is made beside its place, and linked there when done.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        _connect(f"sqlite:///{made}")
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)
        _connect.cache_clear()


def _ensure_registered(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != _EXISTS:
            raise


def _aliases(client: MlflowClient, name: str) -> dict[str, int]:
    """Return alias -> version; empty where nothing was ever registered."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != _NOT_THERE:
            raise
        return {}
    return {alias: int(version) for alias, version in found.items()}


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return the versions that a registration finished, newest first."""
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found += page
        token = page.token
        if not token:
            break
    return sorted(found, key=lambda v: -int(v.version))


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


def _ref(home: Home, pipeline: str, found: ModelVersion, aliases: Mapping[str, int]) -> ModelRef:
    version = int(found.version)
    return ModelRef(
        pipeline=pipeline,
        version=version,
        model=found.tags["model"],
        path=str(home.local_path(BUNDLES, pipeline, found.tags["bundle"])),
        digest=found.tags["digest"],
        metrics=json.loads(found.tags["metrics"]),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if number == version)),
    )


def _log_run(
    client: MlflowClient,
    home: Home,
    pipeline: str,
    metrics: Mapping[str, float],
    params: Mapping[str, Any],
) -> str:
    """Record the training run in the tracker and return its id."""
    from mlflow.entities import Metric, Param

    now = int(datetime.now(UTC).timestamp() * 1000)
    run_id: str = client.create_run(_experiment(client, home, pipeline)).info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(key, float(value), now, 0) for key, value in metrics.items()],
        params=[Param(key, str(value)) for key, value in params.items()],
    )
    client.set_terminated(run_id)
    return run_id


def _experiment(client: MlflowClient, home: Home, pipeline: str) -> str:
    from mlflow.exceptions import MlflowException

    name = _registered_name(pipeline)
    found = client.get_experiment_by_name(name)
    if found is None:
        # Nothing is logged as an artifact; without a place MLflow would name ./mlruns.
        is_own = "MLFLOW_TRACKING_URI" not in os.environ
        place = home.local_path(BUNDLES, pipeline).as_uri() if is_own else None
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException as error:
            found = client.get_experiment_by_name(name)
            if error.error_code != _EXISTS or found is None:
                raise
    return str(found.experiment_id)


def _move(bundle: Path, place: Path, digest: str) -> None:
    """Bring a bundle to its place; the same bundle already there wins."""
    if bundle == place:
        return
    if not place.exists():
        bundle.rename(place)
        return
    if (found := _digest(place)) != digest:
        raise BundleTampered(place / MANIFEST, found, digest)
    shutil.rmtree(bundle)


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


def _check_manifest(ref: ModelRef) -> None:
    found = _digest(Path(ref.path))
    if found != ref.digest:
        raise BundleTampered(Path(ref.path) / MANIFEST, found, ref.digest)
