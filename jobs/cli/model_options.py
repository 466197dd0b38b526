"""Options that say which model is trained, and how, for `train` and `freeze` alike."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from models import registry


class Precision(StrEnum):
    """What a model's linear layers score in."""

    f32 = "f32"
    bf16 = "bf16"


EvalTo = Annotated[
    str, typer.Option("--eval-to", help="Last day to judge it on; the first is after --to.")
]
ZooModel = Annotated[
    str,
    typer.Option(
        "--model",
        help=f"One of {', '.join(registry.names())}, or one of your own as path.py:NAME; the "
        "definition's by default.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the model, such as hidden=400,400; may be repeated.",
    ),
]
SomePrecision = Annotated[
    Precision | None,
    typer.Option("--precision", help="What it scores in; the definition's by default."),
]
Promote = Annotated[
    bool, typer.Option("--promote/--no-promote", help="Make it champion if the gate lets it.")
]
Training = Annotated[
    str,
    typer.Option(
        "--training", help="Its key, which `nightscore freeze` prints, or the name it was given."
    ),
]
