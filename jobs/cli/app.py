"""The `nightscore` command: reads what was asked, calls one function of `jobs`, prints the result.

A command is a thin function in a module beside this one that also says its examples in
a `Command`; it is added below. Nothing heavy is imported here: what needs neither Spark nor torch
answers at once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from jobs.cli import (
    about,
    backfill,
    checks,
    find,
    init,
    maintain,
    models,
    night,
    quality,
    quarantine,
    report,
    scores,
    status,
    train,
    training_steps,
)
from jobs.cli.command import EXIT_CODES, add
from jobs.cli.errors import INTERRUPTED, guarded, interrupted, told
from jobs.cli.logs import configure
from jobs.cli.pipes import discard_the_rest, encode_anything, reader_left

app = typer.Typer(
    name="nightscore",
    help="Scores a pipeline's next day every night, with every input pinned.",
    epilog=EXIT_CODES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add(
    app,
    *night.COMMANDS,
    *backfill.COMMANDS,
    *maintain.COMMANDS,
    *find.COMMANDS,
    *train.COMMANDS,
    *training_steps.COMMANDS,
    *report.COMMANDS,
    *quality.COMMANDS,
    *status.COMMANDS,
    *init.COMMANDS,
    *about.COMMANDS,
)
app.add_typer(scores.app, name="scores")
app.add_typer(checks.app, name="checks")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(models.app, name="models")


@app.callback()
def options(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log every step (or NIGHTSCORE_LOG=INFO).")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks (or NIGHTSCORE_DEBUG=1).")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=about.print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Read the options that come before any command."""
    if debug:
        os.environ["NIGHTSCORE_DEBUG"] = "1"
    configure(verbose)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; an error is one message on stderr.

    Whoever reads the result may stop when they have enough, as `head` does: that is no error.
    """
    encode_anything()
    code = _code_of(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_the_rest()
    return code


def _code_of(arguments: list[str] | None) -> int:
    try:
        return guarded(lambda: app(arguments, prog_name="nightscore"))
    except SystemExit as end:  # typer ends with one, whatever happened
        broken = end.__context__
        if isinstance(broken, BrokenPipeError):  # typer makes a silent 1 of it
            if not reader_left():
                return told(broken)
            discard_the_rest()
            return 0
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return interrupted() if code == INTERRUPTED else code


if __name__ == "__main__":
    sys.exit(main())
