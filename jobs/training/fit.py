"""The middle step of a training, on whichever machine suits it: a recipe in, a bundle out.

    nightscore-fit RECIPE
    nightscore-fit --pipeline P --training KEY_OR_NAME
    torchrun --nproc-per-node 2 -m jobs.training.fit RECIPE

It needs what `infra/locks/fit.lock` holds: no Spark, no Java, and none of what the other steps
import. `nightscore fit` does the same where the jobs' environment is.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from feature_store.errors import NightscoreError
from feature_store.home import Home
from jobs.config import setting
from jobs.registry.trainings import open_training
from jobs.training.receipt import leave_failure, leave_result
from jobs.version import model_code
from models.errors import LeaderFailed, ModelError, RecipeInvalid
from models.fit.frozen import check_frozen
from models.fit.recipe import RECIPE, FitRecipe, read_recipe
from models.fit.run import FitOptions, Fitted, OnProgress, Step, check_model, find_bundle, fit
from models.training.stopping import stopping_at_sigterm

EXAMPLES = """\
examples:
  nightscore-fit /mnt/home/trainings/flights/0123456789abcdef/recipe.json
  NIGHTSCORE_HOME=/mnt/home nightscore-fit --pipeline flights --training autumn
  nightscore-fit recipe.json --out here --set s3://bucket/tables/flights/training_sets/fedcba9876543210
  torchrun --nproc-per-node 2 -m jobs.training.fit recipe.json --device cpu

exit codes: 0 done, or found done; 1 the fit failed, and there is no bundle of it; 2 the request
itself is wrong, and nothing was started; 143 stopped by SIGTERM: the same
command goes on from its checkpoint
"""


def fit_here(
    recipe: FitRecipe,
    folder: Path,
    options: FitOptions,
    on_progress: OnProgress,
    step: Step | None = None,
) -> Fitted:
    """Have the bundle of a recipe in a folder, made by the code that the recipe was frozen with.

    Raises:
        RecipeInvalid: the code here is another.
        ModelError: the fit failed (`models.fit.run.fit`).
    """
    check_code(recipe, options)
    with torch_threads(setting("LOCAL_WORLD_SIZE", 1, 1, 1024)):
        more = {} if step is None else {"step": step}
        return fit(recipe, folder, options, on_progress=on_progress, **more)


def check_code(recipe: FitRecipe, options: FitOptions) -> None:
    """Do nothing if the model would be made by the code that the recipe names.

    Raises:
        RecipeInvalid: it would not.
        ModelInvalid: its own file is another.
    """
    check_model(recipe, options)
    if model_code(recipe.module) != recipe.code:
        raise RecipeInvalid(
            recipe.key,
            f"the code that makes {recipe.model} is not what it was when the set was frozen. Use "
            "the same release of nightscore in both places, or freeze again",
        )


@contextmanager
def torch_threads(processes: int = 1) -> Iterator[None]:
    """Give torch this process's share of the cores for the block.

    A predictor leaves it one for the whole process; and another number of threads would add in
    another order, and so train another model.
    """
    import torch

    before, cores = torch.get_num_threads(), os.cpu_count() or 1
    torch.set_num_threads(setting("NIGHTSCORE_CORES", max(1, cores // processes), 1, 1024))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit what the arguments name and return the exit code; an error is one message on stderr."""
    asked = _asked(arguments)
    level = os.environ.get("NIGHTSCORE_LOG") or "WARNING"
    logging.basicConfig(level=level, format="%(levelname)s %(name)s %(message)s")
    try:
        _run(asked)
    except LeaderFailed as error:
        return error.exit_code  # the leader says why
    except (ModelError, NightscoreError) as error:
        print(f"nightscore-fit: {error}", file=sys.stderr)
        leave_failure(asked.receipt, error)
        return error.exit_code
    except Exception as error:
        leave_failure(asked.receipt, error)
        raise
    return 0


def _run(asked: argparse.Namespace) -> None:
    path = _recipe_path(asked)
    recipe, folder = read_recipe(path), asked.out or path.parent
    options = FitOptions(
        location=asked.set,
        device=asked.device,
        reference=asked.model,
        force=asked.force,
        checkpoint_seconds=asked.checkpoint_seconds,
    )
    if asked.dry_run:
        _say(asked, plan(recipe, folder, options, _note))
        return
    with stopping_at_sigterm() as stop:
        fitted = fit_here(recipe, folder, replace(options, stop=stop), _note)
    if fitted.bundle is not None:
        done = told(recipe, fitted)
        _say(asked, done)
        leave_result(asked.receipt, done)


def _recipe_path(asked: argparse.Namespace) -> Path:
    if asked.recipe is None:
        return open_training(Home.from_env(), asked.pipeline, asked.training).path
    return asked.recipe / RECIPE if asked.recipe.is_dir() else asked.recipe


def plan(
    recipe: FitRecipe, folder: Path, options: FitOptions, on_progress: OnProgress
) -> dict[str, Any]:
    """Return what a fit would do, after everything was checked that can be before it.

    Raises:
        ModelError: the fit would be refused.
    """
    check_code(recipe, options)
    found = None if options.force else find_bundle(recipe, folder, on_progress)
    if found is None:
        check_frozen(recipe, options.location)
    return {
        "training": recipe.key,
        "pipeline": recipe.pipeline,
        "model": recipe.model,
        "rows": {name: split.rows for name, split in recipe.splits.items()},
        "does": "nothing: it is fitted" if found else "fit",
        "bundle": str(found.path if found else folder / "bundle"),
    }


def told(recipe: FitRecipe, fitted: Fitted) -> dict[str, Any]:
    """Return what came of a fit, for a person or a program."""
    assert fitted.bundle is not None  # noqa: S101 - only the leader tells
    return {
        "training": recipe.key,
        "pipeline": recipe.pipeline,
        "model": recipe.model,
        "bundle": str(fitted.bundle.path),
        "digest": fitted.bundle.digest,
        "reused": fitted.is_reused,
    }


def _say(asked: argparse.Namespace, content: dict[str, Any]) -> None:
    if asked.json:
        print(json.dumps(content))
    else:
        print("\n".join(f"{name}: {value}" for name, value in content.items()))


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    asked = parser.parse_args(arguments)
    named = (asked.pipeline, asked.training)
    if any(named) if asked.recipe else not all(named):
        parser.error("name a RECIPE, or a --pipeline and its --training")
    return asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nightscore-fit",
        description="Fit the model of a frozen training. Needs neither Spark nor Java. A fit that "
        "is done is found and not done again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("recipe", type=Path, nargs="?",
        help="recipe.json that `nightscore freeze` wrote, or its folder")  # fmt: skip
    add("--pipeline", default="", metavar="P", help="instead of a recipe, with --training: whose "
        "training, below NIGHTSCORE_HOME")  # fmt: skip
    add("--training", default="", metavar="NAME", help="key of the training, or the name that it "
        "was frozen under")  # fmt: skip
    add("--out", type=Path, help="folder for the bundle; the recipe's by default. All processes "
        "must see the same")  # fmt: skip
    add("--set", default="", metavar="URL", help="folder or URL (as fsspec names it) where the "
        "frozen set lies, if not where it was frozen")  # fmt: skip
    add("--model", default="", metavar="PATH.PY:NAME",
        help="where the file of a model of your own lies here")  # fmt: skip
    add("--device", default="", help="auto, cpu or cuda; the recipe's by default")
    add(
        "--force", action="store_true", help="fit again although it is done, and from the beginning"
    )
    add("--checkpoint-seconds", type=float, default=300.0, metavar="N",
        help="keep what was trained every so often; 300 by default")  # fmt: skip
    add("--dry-run", action="store_true", help="only check recipe, code and files")
    add("--json", action="store_true", help="print JSON")
    add("--receipt", type=Path, metavar="FILE",
        help="leave there what was made, or what failed and if a repeat may help")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
