"""The definition of a guess as a Python module, each guess with a remark that says why."""

from __future__ import annotations

from pathlib import Path

from feature_store.definition.row_rules import UNWRITTEN
from jobs.init.code import (
    BY,
    Call,
    Item,
    Several,
    Value,
    assignment,
    call,
    imports,
    literal,
    remark,
    several,
)
from jobs.init.first_model import gate, training
from jobs.init.parts import OUTCOME, FeatureGuess, Guess

_WINDOWS = (7, 28)
_OF_A_LABEL = (
    f"Until it stands where {UNWRITTEN} does, the pipeline is refused. A column of it may be no "
    f'feature: take it out of `features`, and give it known="{OUTCOME}" in the stream.'
)
_LONGEST_TITLE = 60


def definition_module(guess: Guess, name: str) -> str:
    """Return the text of the module of a definition."""
    used = ["Check", "Definition", "Gate", "Label", "Rows", "Training"]
    used += ["History"] if guess.histories else []
    used += sorted({feature.kind.capitalize() for feature in guess.features})
    head = [
        f'"""The pipeline {name}, {BY}."""\n\n',
        "from __future__ import annotations\n\nfrom datetime import date\n\n",
        imports("feature_store.definition", used),
        imports(f"feature_store.streams.{name}", [name.upper()]),
        "\n",
        *(
            f"{line}\n"
            for side in guess.sides
            for line in remark(_side(side.title, side.keys, side.why))
        ),
    ]
    return "".join(head) + assignment("DEFINITION", _definition(guess, name))


def _side(title: str, keys: tuple[str, ...], why: str) -> str:
    shared = f" has {', '.join(keys)} too:" if keys else ""
    return f"{title}{shared} {why}."


def _definition(guess: Guess, name: str) -> Call:
    items = [
        Item(keyword="name", value=literal(name)),
        Item(keyword="description", value=literal(_description(guess))),
        Item(keyword="spine", value=call("Rows", name.upper())),
        _labels(guess),
        Item(keyword="features", value=_features(guess), remarks=_left_out(guess)),
    ]
    if guess.histories:
        items.append(Item(keyword="histories", value=_histories(guess)))
    checks = several(
        (
            call("Check", stage=literal("features"), kind=literal("row_count"), minimum=literal(1)),
            call(
                "Check",
                stage=literal("scores"),
                kind=literal("between"),
                columns=several((literal("score"),)),
                minimum=literal(0),
                maximum=literal(1),
            ),
        )
    )
    return Call(
        "Definition",
        (
            *items,
            Item(
                keyword="checks",
                value=checks,
                remarks=("the least; write the limits that should stop a night",),
            ),
            training(guess),
            gate(guess),
            Item(keyword="first_day", value=literal(guess.source.first_day)),
        ),
    )


def _description(guess: Guess) -> str:
    title = Path(guess.source.place).name or guess.source.place
    what = (
        f"Will {guess.label.name} be true?" if guess.label else "What is predicted is not written."
    )
    return f"{what} Guessed from {title[:_LONGEST_TITLE]}."


def _labels(guess: Guess) -> Item:
    if guess.label is None:
        value = call(
            "Label", name=literal("label"), expression=literal(UNWRITTEN), known=literal(OUTCOME)
        )
        remarks = (f"{guess.no_label}.", _OF_A_LABEL)
        return Item(keyword="labels", value=several((value,)), remarks=remarks)
    value = call(
        "Label",
        name=literal(guess.label.name),
        expression=literal(guess.label.expression),
        known=literal(OUTCOME),
    )
    return Item(keyword="labels", value=several((value,)), remarks=(guess.label.why,))


def _left_out(guess: Guess) -> tuple[str, ...]:
    if not guess.left_out:
        return ()
    return (
        "left out:",
        *(f"- {left.theirs or 'a column without a name'}: {left.why}" for left in guess.left_out),
    )


def _features(guess: Guess) -> Several:
    return Several(tuple(Item(value=_feature(f), remarks=(f.why,)) for f in guess.features))


def _feature(feature: FeatureGuess) -> Call:
    said: dict[str, Value] = {}
    if feature.transform != "identity":
        said["transform"] = literal(feature.transform)
    if feature.offset:
        said["offset"] = literal(feature.offset)
    name, column = literal(feature.name), literal(feature.column)
    return call(feature.kind.capitalize(), name=name, column=column, **said)


def _histories(guess: Guess) -> Several:
    items = []
    for history in guess.histories:
        value = call(
            "History",
            name=literal(history.name),
            keys=several(literal(key) for key in history.keys),
            value=literal(history.value),
            known=literal(OUTCOME),
            windows=several(literal(days) for days in _WINDOWS),
            aggregates=several((literal("mean"),)),
        )
        items.append(Item(value=value, remarks=(history.why,)))
    return Several(tuple(items))
