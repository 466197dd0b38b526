"""Fit: a recipe and the files of its frozen set in, a bundle out; what was done before is found.

The folder of a training holds, beside `recipe.json`, what a fit leaves there:

    bundle/          the model, whole or not at all
    epochs.json      how each epoch went (`models.training.config.EpochReport`)
    checkpoint.json  what a fit that was killed had trained (`models.training.checkpoint`)
    registered.json  where the bundle went when it was judged and registered: it is moved away then

A fit that finds its bundle in either place has nothing to do; one that finds a checkpoint goes on
from it, and makes the bundle that it would have made without the kill.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from models import registry
from models.errors import AlreadyFitting, BundleInvalid, ModelInvalid, RecipeInvalid
from models.fit.frozen import check_frozen, training_files
from models.fit.recipe import TRAIN, VALID, FitRecipe
from models.scoring import bundle
from models.training.checkpoint import Checkpoints
from models.training.data import Rows, TrainingFiles, concatenate, stream
from models.training.distributed import joined
from models.training.files import held, write_whole
from models.training.stopping import Stop
from models.training.trainer import train

if TYPE_CHECKING:
    from models.scoring.bundle import BundleRef
    from models.training.config import EpochReport, Pace, TrainConfig
    from models.training.trainer import TrainedModel

log = logging.getLogger(__name__)

BUNDLE = "bundle"
EPOCHS = "epochs.json"
REGISTERED = "registered.json"
GOLDEN_ROWS = 64

OnProgress = Callable[[str], None]
Step = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FitOptions:
    """How a fit is done here; nothing of it decides the model."""

    location: str = ""
    """Folder or URL where the frozen set lies, if not where it was frozen."""
    device: str = ""
    """A torch device, or `auto`; the recipe's by default."""
    reference: str = ""
    """Where the file of a model of one's own lies here (`path.py:NAME`)."""
    force: bool = False
    """Fit again although it is done, and from the beginning."""
    checkpoint_seconds: float = 300.0
    """How often what was trained is kept."""
    stop: Stop = field(default_factory=Stop)
    """Asks a training to stop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """What a fit left."""

    bundle: BundleRef | None
    """None in the processes that do not lead: the leader writes."""
    is_reused: bool
    """Whether it was found and not made."""


def fit(
    recipe: FitRecipe,
    folder: Path,
    options: FitOptions | None = None,
    *,
    on_progress: OnProgress = lambda _: None,
    step: Step = lambda _: nullcontext(),
) -> Fitted:
    """Have the bundle of a recipe in a folder; one that is there already is taken as it is.

    Started by torchrun it is one fit of all processes together.

    Args:
        recipe: what to fit.
        folder: where the bundle is written, as `bundle`; all processes must see the same one.
        options: how.
        on_progress: called with a line for a person as work is done, by the leader.
        step: the blocks `train` and `bundle` are measured by it.

    Raises:
        ModelInvalid: the model's own file is not the one that was frozen.
        FrozenSetChanged: a file of the frozen set is not the one that was frozen.
        RecipeInvalid: the folder holds the bundle of another recipe.
        ConfigInvalid: a setting breaks its rule, or the device is not there.
        CheckpointInvalid: there is a checkpoint, and it cannot be gone on from.
        AlreadyFitting: another process fits in the folder.
        Stopped: it was asked to stop.
        ModelError: the training, or the saving, failed; no bundle was written.
    """
    options = options or FitOptions()
    config = train_config(recipe, options)
    check_model(recipe, options)
    with joined(config.device) as group, ExitStack() as stack:
        group.lead(lambda: stack.enter_context(_alone(folder)))
        found = (
            None if options.force else group.lead(lambda: find_bundle(recipe, folder, on_progress))
        )
        if found is not None:
            on_progress(f"fitted before: {found.path}; --force fits again")
        if group.share_number(float(found is not None)):
            return Fitted(bundle=found, is_reused=True)
        checkpoints = Checkpoints(
            folder=folder, training=recipe.identity, every=options.checkpoint_seconds,
            stop=options.stop,
        )  # fmt: skip
        if options.force:
            group.lead(checkpoints.clear)
        group.lead(lambda: check_frozen(recipe, options.location))
        if group.leads and recipe.torch != torch.__version__:
            on_progress(
                f"frozen where torch is {recipe.torch}, fitted by {torch.__version__}: where that "
                "one scores, the portable export is scored and not the compiled package"
            )
        with step("train"):
            told = on_progress if group.leads else _silent
            trained = _train(recipe, config, options, checkpoints, told)
        if not group.leads:
            return Fitted(bundle=None, is_reused=False)
        with step("bundle"):
            made = _save(recipe, folder / BUNDLE, trained, options)
            write_epochs(folder, trained.history)
        checkpoints.clear()
    return Fitted(bundle=made, is_reused=False)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other fits out of a folder for the block.

    Raises:
        AlreadyFitting: one is in it.
    """
    with held(folder) as is_alone:
        if not is_alone:
            raise AlreadyFitting(folder)
        yield


def find_bundle(recipe: FitRecipe, folder: Path, on_progress: OnProgress) -> BundleRef | None:
    """Return the bundle that an earlier fit of the recipe left, if it is still whole.

    Raises:
        RecipeInvalid: the folder holds the bundle of another recipe.
    """
    for path, digest in _places(folder):
        try:
            manifest, found = bundle.verify(path, digest)
        except BundleInvalid as error:
            on_progress(f"fitted before, but the bundle cannot be used: {error}")
            continue
        require_of(recipe, manifest, path)
        return bundle.BundleRef(path, found)
    return None


def require_of(recipe: FitRecipe, manifest: Mapping[str, Any], place: Path) -> None:
    """Do nothing if a bundle was made by a recipe, as its manifest tells.

    Raises:
        RecipeInvalid: it was made by another.
    """
    if manifest["data"] != json.loads(json.dumps(dict(recipe.data))):
        raise RecipeInvalid(
            recipe.key,
            f"{place} is the bundle of another recipe. Name another folder, or fit again",
        )


def check_model(recipe: FitRecipe, options: FitOptions) -> None:
    """Do nothing if the recipe's model can be made here, by what it was when it was frozen.

    Raises:
        UnknownModel: there is no such model here.
        ModelInvalid: its file is another.
    """
    reference = options.reference or recipe.reference
    name = registry.resolve(reference)
    if (name, registry.get(name).module) != (recipe.model, recipe.module):
        raise ModelInvalid(
            reference, f"is not the {recipe.model} that was frozen: the file changed. Freeze again"
        )


def train_config(recipe: FitRecipe, options: FitOptions) -> TrainConfig:
    """Return how the recipe is trained here.

    Raises:
        ConfigInvalid: a setting breaks its rule.
    """
    config = recipe.train_config
    return replace(config, device=options.device) if options.device else config


def _places(folder: Path) -> Iterator[tuple[Path, str | None]]:
    if (folder / BUNDLE).is_dir():
        yield folder / BUNDLE, None
    if (folder / REGISTERED).is_file():
        told = json.loads((folder / REGISTERED).read_text(encoding="utf-8"))
        yield Path(told["bundle"]), told["digest"]


def _train(
    recipe: FitRecipe,
    config: TrainConfig,
    options: FitOptions,
    checkpoints: Checkpoints,
    on_progress: OnProgress,
) -> TrainedModel:
    learnt, held_out = (training_files(recipe, split, options.location) for split in (TRAIN, VALID))
    model_config = registry.config_from_json(recipe.model, json.dumps(dict(recipe.config)))

    def on_epoch(report: EpochReport) -> None:
        on_progress(epoch_text(report))

    def on_pace(pace: Pace) -> None:
        on_progress(pace_text(pace))

    return train(
        recipe.model, model_config, recipe.signature, learnt, held_out, config, on_epoch,
        checkpoints, on_pace,
    )  # fmt: skip


def write_epochs(folder: Path, epochs: Sequence[EpochReport]) -> None:
    """Write down how each epoch of a fit went."""
    told = [asdict(report) for report in epochs]
    write_whole(folder / EPOCHS, json.dumps(told, indent=1).encode())


def read_epochs(folder: Path) -> list[dict[str, Any]]:
    """Return how each epoch of the fit in a folder went; nothing where nobody wrote it down."""
    try:
        found: list[dict[str, Any]] = json.loads((folder / EPOCHS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return found


def epoch_text(report: EpochReport) -> str:
    """Return how an epoch went, for a person."""
    best = ", best so far" if report.is_best else ""
    gpu = "" if report.gpu_percent is None else f", GPU {report.gpu_percent:.0f} %"
    return (
        f"epoch {report.epoch}: train loss {report.train_loss:.4f}, validation AUC "
        f"{report.auc:.4f}, logloss {report.logloss:.4f}, {report.seconds:.1f} s, "
        f"{report.rows_per_second:,.0f} rows/s, rate {report.learning_rate:.2g}, "
        f"{report.memory_mib:,.0f} MiB{gpu}{best}"
    )


def pace_text(pace: Pace) -> str:
    """Return how far an epoch is, for a person."""
    return (
        f"epoch {pace.epoch}: step {pace.step:,} of {pace.steps:,}, "
        f"{pace.rows_per_second:,.0f} rows/s, about {pace.seconds_left:.0f} s left"
    )


def _save(recipe: FitRecipe, place: Path, trained: TrainedModel, options: FitOptions) -> BundleRef:
    """Write the bundle in the place of what was there."""
    held_out = training_files(recipe, recipe.held_out, options.location)
    golden = first_rows(held_out, recipe, GOLDEN_ROWS)
    shutil.rmtree(place, ignore_errors=True)
    return bundle.save(
        place,
        trained,
        signature=trained.signature,
        metrics=trained.metrics,
        data=dict(recipe.data),
        encoding_digest=recipe.encoding,
        golden_keys=golden.keys,
        golden_values=golden.values,
        compiled=recipe.compiled,
        precision=recipe.precision,  # type: ignore[arg-type]  # checked where it was frozen
        # A split that is held out is whole: its rows have no weights to measure by.
        held_out=(lambda: (rows[:3] for rows in stream(held_out, recipe.signature)))
        if recipe.precision != "f32"
        else None,
    )


def first_rows(files: TrainingFiles, recipe: FitRecipe, count: int) -> Rows:
    """Return the first rows of a split, at most `count`."""
    taken: list[Rows] = []
    for part in stream(files, recipe.signature):
        taken.append(part.take(slice(count - sum(len(rows.labels) for rows in taken))))
        if sum(len(rows.labels) for rows in taken) == count:
            break
    return concatenate(taken)


def _silent(*_: Any) -> None:
    """Say nothing: the leader does."""
