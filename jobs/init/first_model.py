"""How a first model is trained, and what it must show: both follow from how many rows there are."""

from __future__ import annotations

import math

from jobs.init.code import Item, call, literal, several
from jobs.init.parts import Guess

_MOST_VALIDATION_DAYS = 14
_MANY_ROWS, _FEW_ROWS = 100_000, 20_000
_BINS, _MAX_ECE = 15, 0.05
"""Of the calibration error, and what it may be where chance plays no part in it."""


def training(guess: Guess) -> Item:
    """Return how the first model is trained, as an argument of the definition."""
    source = guess.source
    days = (source.last_day - source.first_day).days + 1 - len(source.absent_days)
    held_out = max(1, min(_MOST_VALIDATION_DAYS, days // 5))
    # A batch of the usual size would be half of a small table: ten steps teach nothing.
    small = {"batch_size": literal(64)} if guess.rows < _FEW_ROWS else {}
    value = call(
        "Training",
        model=literal("dcnv2"),
        epochs=literal(20 if small else 5),
        **small,
        validation_days=literal(held_out),
        config=several(
            (
                several((literal("embedding_dim"), literal(8))),
                several((literal("hidden"), several((literal(64), literal(32))))),
            )
        ),
    )
    why = f"small, to begin with; a fifth of {days:,} days is held out to stop by"
    return Item(keyword="training", value=value, remarks=(why,))


def gate(guess: Guess) -> Item:
    """Return what the first model must show, as an argument of the definition."""
    why = "better than chance; raise it once it is known what can be reached"
    if guess.rows >= _MANY_ROWS:
        return Item(keyword="gate", value=call("Gate", min_auc=literal(0.5)), remarks=(why,))
    judged = max(1, guess.rows // 5)
    # What a bin of so many rows is off by chance alone, at a base rate of one half.
    by_chance = math.sqrt(_BINS * 0.25 / judged)
    max_ece = min(round(_MAX_ECE + by_chance, 2), 1.0)
    value = call("Gate", min_auc=literal(0.5), max_ece=literal(max_ece))
    why = f"{why}; of about {judged:,} rows the calibration error is known but roughly"
    return Item(keyword="gate", value=value, remarks=(why,))
