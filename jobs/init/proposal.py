"""From files to the two modules of a pipeline, guessed and tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.init.days import FirstDays, first_days, held_days, with_absent_days
from jobs.init.guess import guess
from jobs.init.look import look_at_each
from jobs.init.names import require_pipeline_name
from jobs.init.parts import Guess
from jobs.init.render import module_paths, render
from jobs.init.trial import require_sound


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A pipeline that could be made of files."""

    name: str
    guess: Guess
    texts: dict[str, str]
    """The text of each module by its path below the folder that holds the code."""
    days: FirstDays | None
    """For a first model; None where the files hold too few."""


def places(name: str, root: Path) -> tuple[Path, Path]:
    """Return where the stream and the definition of a pipeline of that name lie.

    Raises:
        UsageError: nothing may be called so.
    """
    require_pipeline_name(name)
    stream, definition = module_paths(name)
    return root / stream, root / definition


def propose(name: str, files: Sequence[str]) -> Proposal:
    """Return the pipeline that could be made of files; nothing is written.

    Raises:
        UsageError: nothing may be called so, or none can be made: it says which file and column,
            and what to do.
    """
    found = guess(look_at_each(files))
    held = held_days(found.source)
    found = with_absent_days(found, held)
    texts = render(found, name)
    require_sound(texts, is_labelled=found.label is not None)
    return Proposal(name=name, guess=found, texts=texts, days=first_days(held))
