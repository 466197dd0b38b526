"""Commands on registered models: `models` lists them, `models promote` chooses the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from feature_store import definitions
from feature_store.home import Home
from jobs.cli.command import Command, examples_text, group
from jobs.cli.errors import say
from jobs.cli.options import Json, Pipeline, SomePipeline, Why
from jobs.cli.output import json_text, print_json, print_line, print_table
from jobs.cli.progress import Progress
from jobs.cli.session import who

if TYPE_CHECKING:
    from jobs.registry.model_registry import ModelRef

_TITLES = ("pipeline", "version", "model", "aliases", "bundle", "digest", "metrics")
_SHOWN_METRICS = ("auc", "logloss", "ece")


def list_models(pipeline: SomePipeline = "", as_json: Json = False) -> None:
    """List every registered version, newest first, with its aliases and metrics.

    `bundle` is `there`, `removed` (by nightscore maintain) or `gone`: a champion whose bundle is
    gone scores nothing. The models of a pipeline whose definition is broken are listed as well.
    """
    sound, broken = definitions.load_all()
    names = [_known(pipeline)] if pipeline else [*sound, *broken]
    with Progress() as progress, progress.step("open registry"):
        from jobs.registry import model_registry

        home = Home.from_env()
        found = [ref for name in names for ref in model_registry.list_models(home, name)]
    if as_json:
        print_json(_as_dict(ref) for ref in found)
    elif found:
        print_table(_TITLES, (_row(ref) for ref in found), right=("version",))
    else:
        print_line("no model is registered yet")
    for ref in found:
        if ref.aliases and not ref.has_bundle:
            say(_without_bundle(ref, found))
    for name, error in broken.items():
        if name in names:
            say(str(error))


def promote(
    version: Annotated[int, typer.Argument(help="The version to promote.", min=1)],
    pipeline: Pipeline,
    why: Why,
    as_json: Json = False,
) -> None:
    """Make a registered version the champion, past the gate, after its bundle was verified."""
    name = definitions.load(pipeline).name
    with Progress() as progress, progress.step("promote"):
        from jobs.registry import model_registry

        ref = model_registry.promote(Home.from_env(), name, version, who(), why)
    if as_json:
        print(json_text(_as_dict(ref)))
    else:
        print_line(f"{name}: {ref.title} is champion; it scores from the next night on")


def _list_by_default(
    context: typer.Context, pipeline: SomePipeline = "", as_json: Json = False
) -> None:
    """List the registered models, or promote one."""
    if context.invoked_subcommand is None:
        list_models(pipeline, as_json)


def _known(pipeline: str) -> str:
    """Return the pipeline's name; whether its definition can be loaded is of no interest here."""
    if pipeline not in definitions.names():
        definitions.load(pipeline)  # says which there are
    return pipeline


def _without_bundle(ref: ModelRef, found: Sequence[ModelRef]) -> str:
    """Return what is wrong with a version that is to score and has no bundle, and what to do."""
    others = [r for r in found if r.pipeline == ref.pipeline and r.has_bundle]
    promote_one = (
        f"nightscore models promote {others[0].version} --pipeline {ref.pipeline} --why …"
        if others
        else f"train a new one: nightscore train --pipeline {ref.pipeline} …"
    )
    return (
        f"{ref.pipeline}: {ref.title} is {' and '.join(ref.aliases)}, and its bundle is gone: "
        f"{ref.path}. Nights that need it fail. Restore the folder, or {promote_one}"
    )


def _as_dict(ref: ModelRef) -> dict[str, object]:
    return {
        "pipeline": ref.pipeline,
        "version": ref.version,
        "model": ref.model,
        "aliases": list(ref.aliases),
        "digest": ref.digest,
        "path": ref.path,
        "metrics": dict(ref.metrics),
        "bundle": _bundle(ref),
        "bundle_removed": ref.removed_at or None,
    }


def _bundle(ref: ModelRef) -> str:
    if ref.removed_at:
        return "removed"
    return "there" if ref.has_bundle else "gone"


def _row(ref: ModelRef) -> tuple[object, ...]:
    metrics = " ".join(
        f"{name}={value:.4f}"
        for name, value in ref.metrics.items()
        if name.rpartition("/")[2].removeprefix("eval_").removeprefix("valid_") in _SHOWN_METRICS
    )
    aliases = ",".join(ref.aliases) or "-"
    named = (ref.pipeline, ref.version, ref.model, aliases, _bundle(ref))
    return (*named, ref.digest[:12], metrics)


app = group(
    "List the registered models, or promote one.",
    Command(
        "list", list_models, ("nightscore models list --pipeline flights", "nightscore models")
    ),
    Command(
        "promote",
        promote,
        ("nightscore models promote 3 --pipeline flights --why 'better on late flights'",),
    ),
)
app.callback(
    invoke_without_command=True,
    no_args_is_help=False,
    epilog=examples_text(
        (
            "nightscore models --pipeline flights",
            "nightscore models --json",
            "nightscore models promote 3 --pipeline flights --why 'better on late flights'",
        )
    ),
)(_list_by_default)
