"""A guess for a person: what the files seem to be, part by part, with why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.cli.output import print_line, print_table

if TYPE_CHECKING:
    from jobs.init.parts import Guess

_LEFT_OUT = "no"


def print_guess(guess: Guess) -> None:
    """Print what was guessed: first the whole, then each column, then what to look at."""
    print_table(("what", "guess", "why"), _parts(guess))
    print_line("")
    print_table(("column", "type", "known", "feature", "why"), _columns(guess))
    for side in guess.sides:
        print_line(f"beside it: {side.title}: {', '.join(side.keys) or '-'}: {side.why}")
    for note in guess.notes:
        print_line(f"note: {note}")


def _parts(guess: Guess) -> Iterator[tuple[str, str, str]]:
    source = guess.source
    yield "rows", f"{guess.rows:,}", f"in {guess.title}"
    yield "days", f"{source.first_day}..{source.last_day}", source.why
    yield "keys", ", ".join(guess.keys.columns), guess.keys.why
    yield "event_time", guess.event.column, guess.event.why
    for known in guess.knowns:
        yield f"known: {known.name}", known.at, known.why
    if guess.label is None:
        yield "label", "-", guess.no_label
    else:
        yield "label", guess.label.expression, guess.label.why
    for history in guess.histories:
        yield "history", history.name, history.why


def _columns(guess: Guess) -> Iterator[tuple[str, str, str, str, str]]:
    features = {feature.column: feature for feature in guess.features}
    for column in guess.columns:
        feature = features.get(column.name)
        said = f"{column.name} ({column.theirs})" if column.name in guess.names else column.name
        why = f"{column.why}; {feature.why}" if feature else column.why
        kind = feature.kind if feature else "-"
        yield said, column.dtype, column.known, kind, why
    for left in guess.left_out:
        if left.theirs not in {column.theirs for column in guess.columns}:
            yield left.theirs or "(no name)", "-", "-", _LEFT_OUT, left.why
