"""Commands about the installation: `doctor`, `pipelines`, `--version`."""

from __future__ import annotations

import json

import typer

from feature_store import definitions
from jobs.cli.command import Command
from jobs.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Say what this machine lacks, and how to mend it.

    Exits with 1 where something needed is missing; a warning stops nothing.
    """
    from jobs.machine.doctor import run_doctor

    raise typer.Exit(run_doctor(as_json))


def pipelines(as_json: Json = False) -> None:
    """List the pipelines: one file each in feature_store/definitions.

    Exits with 1 where a definition is broken; it is listed with what is wrong.
    """
    sound, broken = definitions.load_all()
    for name, definition in sound.items():
        days = f"{definition.first_day} to {definition.last_day or 'today'}"
        if as_json:
            print(
                json.dumps(
                    {
                        "pipeline": name,
                        "description": definition.description,
                        "keys": list(definition.keys),
                        "model": definition.training.model,
                        "first_day": definition.first_day.isoformat(),
                        "last_day": definition.last_day and definition.last_day.isoformat(),
                        "owner": definition.owner,
                    }
                )
            )
        else:
            print(f"{name:<12} {days:<26} {definition.description}")
    for name, error in broken.items():
        print(
            json.dumps({"pipeline": name, "error": str(error)})
            if as_json
            else f"{name:<12} {'broken':<26} {error}"
        )
    if broken:
        raise typer.Exit(1)


def print_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from jobs.version import code_version

        print(f"nightscore {code_version()}")
        raise typer.Exit()


COMMANDS = (
    Command("doctor", doctor, ("nightscore doctor", "nightscore doctor --json")),
    Command("pipelines", pipelines, ("nightscore pipelines", "nightscore pipelines --json")),
)
