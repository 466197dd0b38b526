"""The tutorial of docs/adding-a-pipeline.md, taken apart: what it runs, writes and prints."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adding-a-pipeline.md"
HEADING = "## A first pipeline, line by line"

Kind = Literal["run", "write", "print"]
_KINDS: dict[str, Kind] = {"sh": "run", "python": "write", "text": "print"}
_CAPTION = re.compile(r"`([\w./-]+)`:$")
_ANYTHING = "…"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A fenced block: lines of a shell, a file, or what the lines before it print."""

    kind: Kind
    line: int
    """Where its first line is on the page, counted from 1."""
    text: str
    path: str = ""
    """Where a file is written to, below the checkout."""


def blocks(page: str) -> list[Block]:
    """Return the blocks below `HEADING`, in order.

    Raises:
        ValueError: there is no such heading, or a block is of another language, has no end, is a
            file whose caption names no path, or prints what no shell printed.
    """
    found: list[Block] = []
    for language, caption, line, text in _fences(page.splitlines()):
        where = f"line {line}"
        if language not in _KINDS:
            raise ValueError(f"{where}: a block of {language or 'no language'!r}")
        kind, path = _KINDS[language], ""
        if kind == "write":
            named = _CAPTION.search(caption)
            if named is None:
                raise ValueError(f"{where}: {caption!r} does not end with the path of the file")
            path = named.group(1)
        if kind == "print" and (not found or found[-1].kind != "run"):
            raise ValueError(f"{where}: no shell stands before what is printed")
        found.append(Block(kind=kind, line=line, text=text, path=path))
    return found


def script(parts: Sequence[Block], outputs: Path) -> str:
    """Return a script for bash that does what a reader does, in one shell.

    What the block that begins on line n runs prints, goes to `outputs/n`; what it writes is taken
    from there. `outputs/at` holds the line of the block that is being run.
    """
    lines = ["set -eo pipefail"]
    for block in parts:
        place = shlex.quote(str(outputs / str(block.line)))
        at = shlex.quote(str(outputs / "at"))
        if block.kind == "run":
            lines += [f"echo {block.line} > {at}", "{", block.text, f"}} > {place}"]
        elif block.kind == "write":
            lines += [f"echo {block.line} > {at}", f"cp {place} {shlex.quote(block.path)}"]
    return "\n".join(lines) + "\n"


def is_printed(expected: str, printed: str) -> bool:
    """Whether a text is what was printed, but for what it leaves open.

    `…` is anything within a line, a line of `…` alone any number of lines, and a blank as many
    blanks as it takes to line up a column.
    """
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == _ANYTHING else _of_line(line) + r"\n"
        for line in expected.splitlines()
    )
    lines = (re.sub(r" +", " ", line).rstrip() for line in printed.splitlines())
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def _of_line(line: str) -> str:
    words = re.sub(r" +", " ", line).rstrip()
    return ".*".join(re.escape(part) for part in words.split(_ANYTHING))


def _fences(lines: Sequence[str]) -> Iterator[tuple[str, str, int, str]]:
    """Yield (language, the line of text before it, number of its first line, text)."""
    if HEADING not in lines:
        raise ValueError(f"there is no heading {HEADING!r}")
    caption, inside, begin = "", None, 0
    for number, line in enumerate(lines[lines.index(HEADING) + 1 :], lines.index(HEADING) + 2):
        if inside is None and line.startswith("```"):
            inside, begin = line[3:].strip(), number + 1
        elif line == "```" and inside is not None:
            yield inside, caption, begin, "\n".join(lines[begin - 1 : number - 1]) + "\n"
            inside = None
        elif inside is None and line.startswith("## "):
            return
        elif inside is None and line.strip():
            caption = line.strip()
    if inside is not None:
        raise ValueError(f"line {begin}: the block has no end")
