"""How a command is added to the command line: a `Command` in the tuple of its module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

EXIT_CODES = (
    "Exit codes: 0 done; 1 the night, training or request failed or was refused, and what was "
    "published before stays; 2 the request itself is wrong, and nothing was started; "
    "130 interrupted."
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, the function that typer calls, and examples for its help."""

    name: str
    run: Callable[..., Any]
    examples: tuple[str, ...]

    @property
    def epilog(self) -> str:
        """What its help ends with."""
        return examples_text(self.examples)


def examples_text(examples: tuple[str, ...]) -> str:
    """Return examples as help text that is not wrapped."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in examples)))


def add(app: typer.Typer, *commands: Command) -> None:
    """Make the commands part of `app`."""
    for command in commands:
        app.command(command.name, epilog=command.epilog)(command.run)


def group(summary: str, *commands: Command) -> typer.Typer:
    """Return a group of commands; without one it shows its help, unless a callback does more."""
    app = typer.Typer(help=summary, rich_markup_mode=None, no_args_is_help=True)
    add(app, *commands)
    return app
