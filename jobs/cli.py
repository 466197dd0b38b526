"""The `nightscore` command: reads what was asked, calls one function of `jobs`, prints the result.

A command is a thin function in a `cli_*` module that also says its examples in a `Command`; it is
added below. Nothing heavy is imported here: what needs neither Spark nor torch answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from feature_store.errors import NightscoreError
from jobs import cli_about, cli_backfill, cli_models, cli_night, cli_report, cli_scores, cli_train
from jobs.cli_command import EXIT_CODES, add
from jobs.cli_logging import configure
from models.errors import ModelError

INTERRUPTED = 130

app = typer.Typer(
    name="nightscore",
    help="Scores a pipeline's next day every night, with every input pinned.",
    epilog=EXIT_CODES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add(
    app,
    *cli_night.COMMANDS,
    *cli_backfill.COMMANDS,
    *cli_train.COMMANDS,
    *cli_report.COMMANDS,
    *cli_about.COMMANDS,
)
app.add_typer(cli_scores.app, name="scores")
app.add_typer(cli_models.app, name="models")


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
            "--version", callback=cli_about.print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Read the options that come before any command."""
    if debug:
        os.environ["NIGHTSCORE_DEBUG"] = "1"
    configure(verbose)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; an error is one message on stderr."""
    try:
        app(arguments, prog_name="nightscore")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == INTERRUPTED:
            _say("interrupted. What was published stays; run the same command again to go on")
        return code
    except (NightscoreError, ModelError) as error:
        _explain(error, str(error))
        return error.exit_code
    except Exception as error:  # the last line of defence: one message here too
        first = str(error).strip().splitlines()
        _explain(error, f"unexpected {type(error).__name__}: {first[0] if first else ''}")
        return 1
    return 0


def _explain(error: Exception, message: str) -> None:
    if os.environ.get("NIGHTSCORE_DEBUG") not in (None, "", "0"):
        traceback.print_exception(error)
    _say(message)


def _say(message: str) -> None:
    print(f"nightscore: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
