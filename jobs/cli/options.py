"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Pipeline = Annotated[
    str, typer.Option("--pipeline", "-p", help="Name of the pipeline; `nightscore pipelines`.")
]
Ds = Annotated[str, typer.Option("--ds", help="The UTC day, YYYY-MM-DD.")]
First = Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")]
Last = Annotated[str, typer.Option("--to", help="Last day, included, YYYY-MM-DD.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again although it is done.")]
Model = Annotated[
    str, typer.Option("--model", help="`champion`, `challenger` or a version number.")
]
