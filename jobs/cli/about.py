"""Commands about the installation: `doctor`, `pipelines`, `--version`."""

from __future__ import annotations

import typer

from feature_store import definitions
from jobs.cli.command import Command
from jobs.cli.options import Json
from jobs.cli.output import print_json, print_line, print_table


def doctor(as_json: Json = False) -> None:
    """Say what this machine lacks, and how to mend it.

    Exits with 1 where something needed is missing; a warning stops nothing.
    """
    from jobs.machine.doctor import run_doctor

    raise typer.Exit(run_doctor(as_json))


def pipelines(as_json: Json = False) -> None:
    """List the pipelines: one file each in feature_store/definitions.

    One whose definition is broken is listed with what is wrong; `run` would refuse it with 2.
    """
    sound, broken = definitions.load_all()
    if as_json:
        print_json(
            {
                "pipeline": name,
                "description": definition.description,
                "keys": list(definition.keys),
                "model": definition.training.model,
                "first_day": definition.first_day.isoformat(),
                "last_day": definition.last_day and definition.last_day.isoformat(),
                "owner": definition.owner,
            }
            for name, definition in sound.items()
        )
        print_json({"pipeline": name, "error": str(error)} for name, error in broken.items())
        return
    rows = [
        (name, f"{one.first_day} to {one.last_day or 'today'}", one.training.model, one.description)
        for name, one in sound.items()
    ]
    rows += [(name, "broken", "", str(error)) for name, error in broken.items()]
    print_table(("pipeline", "days", "model", "description"), rows)


def print_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from jobs.version import code_version

        print_line(f"nightscore {code_version()}")
        raise typer.Exit()


COMMANDS = (
    Command("doctor", doctor, ("nightscore doctor", "nightscore doctor --json")),
    Command("pipelines", pipelines, ("nightscore pipelines", "nightscore pipelines --json")),
)
