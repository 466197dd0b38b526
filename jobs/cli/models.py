"""Commands on registered models: `models` lists them, `models promote` chooses the champion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from feature_store import definitions
from feature_store.home import Home
from jobs.cli.command import Command, examples_text, group
from jobs.cli.errors import say
from jobs.cli.options import Json, Pipeline
from jobs.cli.progress import Progress
from jobs.cli.session import who

if TYPE_CHECKING:
    from jobs.registry.model_registry import ModelRef

SomePipeline = Annotated[
    str, typer.Option("--pipeline", "-p", help="Name of the pipeline; all of them by default.")
]
_SHOWN_METRICS = ("auc", "logloss", "ece")


def list_models(pipeline: SomePipeline = "", as_json: Json = False) -> None:
    """List every registered version, newest first, with its aliases and metrics.

    Exits with 1 where a definition is broken; the models of its pipeline are listed all the same.
    """
    sound, broken = definitions.load_all()
    names = [definitions.load(pipeline).name] if pipeline else [*sound, *broken]
    with Progress() as progress, progress.step("open registry"):
        from jobs.registry import model_registry

        home = Home.from_env()
        found = [ref for name in names for ref in model_registry.list_models(home, name)]
    for ref in found:
        print(json.dumps(_as_dict(ref)) if as_json else _line(ref))
    if not found and not as_json:
        print("no model is registered yet")
    if broken and not pipeline:
        for error in broken.values():
            say(str(error))
        raise typer.Exit(1)


def promote(
    version: Annotated[int, typer.Argument(help="The version to promote.", min=1)],
    pipeline: Pipeline,
    why: Annotated[str, typer.Option("--why", help="The reason, for the record.")],
) -> None:
    """Make a registered version the champion, past the gate, after its bundle was verified."""
    name = definitions.load(pipeline).name
    with Progress() as progress, progress.step("promote"):
        from jobs.registry import model_registry

        ref = model_registry.promote(Home.from_env(), name, version, who(), why)
    print(f"{name}: {ref.title} is champion; it scores from the next night on")


def _list_by_default(
    context: typer.Context, pipeline: SomePipeline = "", as_json: Json = False
) -> None:
    """List the registered models, or promote one."""
    if context.invoked_subcommand is None:
        list_models(pipeline, as_json)


def _as_dict(ref: ModelRef) -> dict[str, object]:
    return {
        "pipeline": ref.pipeline,
        "version": ref.version,
        "model": ref.model,
        "aliases": list(ref.aliases),
        "digest": ref.digest,
        "path": ref.path,
        "metrics": dict(ref.metrics),
        "bundle_removed": ref.removed_at or None,
    }


def _line(ref: ModelRef) -> str:
    metrics = " ".join(
        f"{name}={value:.4f}"
        for name, value in ref.metrics.items()
        if name.removeprefix("eval_").removeprefix("valid_") in _SHOWN_METRICS
    )
    aliases = ",".join(ref.aliases) or ("removed" if ref.removed_at else "-")
    return (
        f"{ref.pipeline:<12} {ref.version:>4}  {ref.model:<10} {aliases:<11} "
        f"{ref.digest[:12]}  {metrics}"
    )


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
    epilog=examples_text(
        (
            "nightscore models --pipeline flights",
            "nightscore models --json",
            "nightscore models promote 3 --pipeline flights --why 'better on late flights'",
        )
    ),
)(_list_by_default)
