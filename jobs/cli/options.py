"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from feature_store import definitions
from feature_store.errors import UsageError


def _said(context: typer.Context, parameter: typer.CallbackParam, text: str) -> str:
    """Return a reason without the space around it, and refuse one that says nothing.

    A default may be empty: nobody is asked for a reason there.
    """
    source = context.get_parameter_source(str(parameter.name))
    if not text.strip() and source is not None and source.name != "DEFAULT":
        raise UsageError(
            f"{parameter.opts[0]}={text!r}: must say why, in words that will still mean something "
            "to whoever reads the record"
        )
    return text.strip()


def names_like(incomplete: str) -> list[str]:
    """Return the pipelines whose names begin so, for the shell that completes them."""
    return [name for name in definitions.names() if name.startswith(incomplete)]


Pipeline = Annotated[
    str,
    typer.Option(
        "--pipeline",
        "-p",
        help="Name of the pipeline; `nightscore pipelines`.",
        autocompletion=names_like,
    ),
]
SomePipeline = Annotated[
    str,
    typer.Option(
        "--pipeline",
        "-p",
        help="Name of the pipeline; all of them by default.",
        autocompletion=names_like,
    ),
]
Ds = Annotated[str, typer.Option("--ds", help="The UTC day, YYYY-MM-DD.")]
First = Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")]
Last = Annotated[str, typer.Option("--to", help="Last day, included, YYYY-MM-DD.")]
Why = Annotated[str, typer.Option("--why", callback=_said, help="The reason, for the record.")]
Reason = Annotated[str, typer.Option("--reason", callback=_said, help="Why, for the record.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again although it is done.")]
AllowOlder = Annotated[
    bool,
    typer.Option("--allow-older-model", help="Let an older model replace a newer one's scores."),
]
Model = Annotated[
    str, typer.Option("--model", help="`champion`, `challenger` or a version number.")
]
