"""The stream of a guess as a Python module, each guess with a remark that says why."""

from __future__ import annotations

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
from jobs.init.parts import Guess


def stream_module(guess: Guess, name: str) -> str:
    """Return the text of the module of a stream."""
    counted = guess.counted("seconds") + guess.counted("milliseconds")
    adapted = bool(guess.names or guess.times or counted or guess.null_words)
    own = "DailyFiles" if guess.source.kind == "daily" else "UndatedFiles"
    module = "files" if guess.source.kind == "daily" else "undated"
    sources = [imports("feature_store.sources.adapted", ["Adapted"])] if adapted else []
    sources.append(imports(f"feature_store.sources.{module}", [own]))
    head = [
        f'"""The rows of {name}, {BY}."""\n\n',
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
