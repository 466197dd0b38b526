"""A guess as two Python modules, each guess with a remark that says why."""

from __future__ import annotations

import math
from pathlib import Path

from feature_store.definition.rules import UNWRITTEN
from jobs.init.code import (
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
from jobs.init.names import require_pipeline_name
from jobs.init.parts import OUTCOME, FeatureGuess, Guess

_BY = "guessed from files by `nightscore init`: read each remark"
_WINDOWS = (7, 28)
_MOST_VALIDATION_DAYS = 14
_MANY_ROWS, _FEW_ROWS = 100_000, 20_000
_BINS, _MAX_ECE = 15, 0.05
"""Of the calibration error, and what it may be where chance plays no part in it."""
_OF_A_LABEL = (
    f"Until it stands where {UNWRITTEN} does, the pipeline is refused. A column of it may be no "
    f'feature: take it out of `features`, and give it known="{OUTCOME}" in the stream.'
)
_LONGEST_TITLE = 60


def render(guess: Guess, name: str) -> dict[str, str]:
    """Return the text of each module by its path below the folder that holds the code.

    Args:
        guess: what was guessed.
        name: what the pipeline, its stream and both files are called.

    Raises:
        UsageError: nothing may be called so.
    """
    require_pipeline_name(name)
    stream, definition = module_paths(name)
    return {stream: _stream_module(guess, name), definition: _definition_module(guess, name)}


def module_paths(name: str) -> tuple[str, str]:
    """Return where a pipeline's stream and definition lie, below the folder that holds the code."""
    return f"feature_store/streams/{name}.py", f"feature_store/definitions/{name}.py"


def _stream_module(guess: Guess, name: str) -> str:
    counted = guess.counted("seconds") + guess.counted("milliseconds")
    adapted = bool(guess.names or guess.times or counted or guess.null_words)
    own = "DailyFiles" if guess.source.kind == "daily" else "UndatedFiles"
    module = "files" if guess.source.kind == "daily" else "undated"
    sources = [imports("feature_store.sources.adapted", ["Adapted"])] if adapted else []
    sources.append(imports(f"feature_store.sources.{module}", [own]))
    head = [
        f'"""The rows of {name}, {_BY}."""\n\n',
        "from __future__ import annotations\n\nfrom datetime import date\n\n",
        imports("feature_store.definition", ["Column", "Known", "Stream"]),
        *sources,
        "\n",
        *(f"{line}\n" for note in guess.notes for line in remark(f"Note: {note}.")),
    ]
    return "".join(head) + assignment(name.upper(), _stream(guess, name, adapted))


def _stream(guess: Guess, name: str, adapted: bool) -> Call:
    source, event = guess.source, guess.event
    last: Value = literal(source.last_day if source.kind == "undated" else None)
    why_last = "new days are delivered" if source.kind == "daily" else "the last day of the file"
    if source.kind == "undated":
        why_last = f"{why_last}; None, if it grows"
    return Call(
        "Stream",
        (
            Item(keyword="name", value=literal(name)),
            Item(
                keyword="source",
                value=_adapted(guess) if adapted else _files(guess),
                remarks=(source.why,),
            ),
            Item(
                keyword="keys",
                value=several(literal(key) for key in guess.keys.columns),
                remarks=(guess.keys.why,),
            ),
            Item(keyword="event_time", value=literal(event.column), remarks=(event.why,)),
            Item(keyword="knowns", value=_knowns(guess)),
            Item(keyword="columns", value=_columns(guess)),
            Item(keyword="first_day", value=literal(source.first_day)),
            Item(keyword="last_day", value=last, remarks=(why_last,)),
            *_absent_days(guess),
            Item(keyword="event_days", value=several(literal(day) for day in event.days)),
        ),
    )


def _absent_days(guess: Guess) -> list[Item]:
    days = guess.source.absent_days
    if not days:
        return []
    why = "days between these that the files do not hold; one that will be there is none of them"
    value = several(literal(day) for day in days)
    return [Item(keyword="absent_days", value=value, remarks=(why,))]


def _files(guess: Guess) -> Call:
    source = guess.source
    said: dict[str, Value] = {}
    if source.format != "csv":
        said["format"] = literal(source.format)
    if source.delimiter != ",":
        said["delimiter"] = literal(source.delimiter)
    if source.kind == "daily":
        pattern = {} if source.pattern == "ds={ds}/*" else {"pattern": literal(source.pattern)}
        return call("DailyFiles", folder=literal(source.place), **pattern, **said)
    if source.unit is not None:
        said["unit"] = literal(source.unit)
    day = literal(source.day_column)
    return call("UndatedFiles", path=literal(source.place), day_column=day, **said)


def _adapted(guess: Guess) -> Call:
    items = [Item(keyword="source", value=_files(guess))]
    if guess.names:
        pairs = [several((literal(o), literal(t))) for o, t in sorted(guess.names.items())]
        why = "what the files call otherwise: (name here, name there)"
        items.append(Item(keyword="names", value=several(pairs), remarks=(why,)))
    for unit in ("seconds", "milliseconds"):
        counted = guess.counted(unit)
        if counted:
            value = several(literal(name) for name in counted)
            items.append(Item(keyword=unit, value=value))
    if guess.null_words:
        value = several(literal(word) for word in guess.null_words)
        why = "words that stand for a null in columns that are no text"
        items.append(Item(keyword="nulls", value=value, remarks=(why,)))
    if guess.times:
        stated = Several(
            tuple(
                Item(value=several((literal(t.name), literal(t.hours))), remarks=(t.why,))
                for t in guess.times
            )
        )
        why = "what the files lack: (name, hours after midnight UTC of the day)"
        items.append(Item(keyword="times", value=stated, remarks=(why,)))
    return Call("Adapted", tuple(items))


def _knowns(guess: Guess) -> Several:
    items = []
    for known in guess.knowns:
        said: dict[str, Value] = {"after_event": literal(True)} if known.after_event else {}
        value = call("Known", name=literal(known.name), at=literal(known.at), **said)
        items.append(Item(value=value, remarks=(known.why,)))
    return Several(tuple(items))


def _columns(guess: Guess) -> Several:
    items = []
    for column in guess.columns:
        said: dict[str, Value] = {} if column.nullable else {"nullable": literal(False)}
        value = call(
            "Column",
            name=literal(column.name),
            dtype=literal(column.dtype),
            known=literal(column.known),
            **said,
        )
        items.append(Item(value=value, remarks=(column.why,)))
    return Several(tuple(items))


def _definition_module(guess: Guess, name: str) -> str:
    used = ["Check", "Definition", "Gate", "Label", "Rows", "Training"]
    used += ["History"] if guess.histories else []
    used += sorted({feature.kind.capitalize() for feature in guess.features})
    head = [
        f'"""The pipeline {name}, {_BY}."""\n\n',
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
        _label(guess),
        Item(keyword="features", value=_features(guess), remarks=_left_out(guess)),
    ]
    if guess.histories:
        items.append(Item(keyword="histories", value=_histories(guess)))
    source = guess.source
    days = (source.last_day - source.first_day).days + 1 - len(source.absent_days)
    held_out = max(1, min(_MOST_VALIDATION_DAYS, days // 5))
    # A batch of the usual size would be half of a small table: ten steps teach nothing.
    small = {"batch_size": literal(64)} if guess.rows < _FEW_ROWS else {}
    training = call(
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
            Item(
                keyword="training",
                value=training,
                remarks=(f"small, to begin with; a fifth of {days:,} days is held out to stop by",),
            ),
            _gate(guess),
            Item(keyword="first_day", value=literal(guess.source.first_day)),
        ),
    )


def _gate(guess: Guess) -> Item:
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


def _description(guess: Guess) -> str:
    title = Path(guess.source.place).name or guess.source.place
    what = (
        f"Will {guess.label.name} be true?" if guess.label else "What is predicted is not written."
    )
    return f"{what} Guessed from {title[:_LONGEST_TITLE]}."


def _label(guess: Guess) -> Item:
    if guess.label is None:
        value = call(
            "Label", name=literal("label"), expression=literal(UNWRITTEN), known=literal(OUTCOME)
        )
        return Item(keyword="label", value=value, remarks=(f"{guess.no_label}.", _OF_A_LABEL))
    value = call(
        "Label",
        name=literal(guess.label.name),
        expression=literal(guess.label.expression),
        known=literal(OUTCOME),
    )
    return Item(keyword="label", value=value, remarks=(guess.label.why,))


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
