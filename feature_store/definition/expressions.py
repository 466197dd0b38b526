"""Which columns an SQL expression of a definition takes, told without Spark.

An expression is a function of the columns of its own row, and of nothing else. What can be read
here, word by word, is let through; what cannot be judged is refused with the reason. Spark does not
care for the case of a name and this does, so that both always mean the same column;
`feature_store.features.expressions` lets Spark's own parser confirm it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from feature_store.definition.functions import AGGREGATES, CONTEXTUAL, FUNCTIONS

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
    | (?P<text>'(?:[^'\\]|\\.|'')*')
    | (?P<number>
        (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?:[bB][dD]|[lLsSyYdDfF])?(?![A-Za-z0-9_.])
      )
    | (?P<quoted>`(?:[^`]|``)+`)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><=>|<>|<=|>=|==|!=|\|\||[-+*/%&|^~=<>!(),\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset(
    "and or not is null true false case when then else end between in like ilike rlike regexp div "
    "distinct from as".split()
)
_ENDS_OPERAND = frozenset({"null", "true", "false", "end"})
_CASTS = frozenset({"cast", "try_cast"})
_TYPES = frozenset(
    "string tinyint byte smallint short int integer bigint long float real double boolean date "
    "timestamp decimal dec numeric".split()
)
_LITERALS = {
    "date": re.compile(r"'\d{4}-\d\d-\d\d'\Z"),
    "timestamp": re.compile(r"'\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?Z?'\Z"),
}
_UNREADABLE = {
    "--": "a comment belongs beside the expression, in Python",
    "/*": "a comment belongs beside the expression, in Python",
    "->": "a lambda cannot be judged here: compute the value in the source",
    "=>": "a named argument cannot be judged here: give arguments by place",
    "${": "a variable is replaced by what is set when it runs: write the value itself",
    ".": "only columns of the source are known here: a field of a struct or lookup is not one",
    '"': "is text or a name, as a setting decides: write text in '…' and a name bare or in `…`",
    ":": "cannot be judged here: write cast(x AS type)",
}
_WORDS = {
    "select": "a subquery reads other rows than its own",
    "exists": "a subquery reads other rows than its own",
    "with": "a subquery reads other rows than its own",
    "over": "a window reads other rows than its own: that is what a History is for",
    "interval": "is not needed: compare unix_timestamp(a) - unix_timestamp(b) in seconds",
}
_CONTEXT = "differs from run to run: a value is made of its row alone"


class Unfit(Exception):
    """What of an expression may not be there, and the rule."""

    def __init__(self, found: str, rule: str) -> None:
        super().__init__(f"{found}: {rule}")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        """The lower-case word; empty for anything else."""
        return self.text.lower() if self.kind == "word" else ""


def columns_of(expression: str, columns: Collection[str]) -> frozenset[str]:
    """Return the names among `columns` that an expression takes.

    Raises:
        Unfit: it names something else, or holds what cannot be judged without running it.
    """
    tokens = _tokens(expression)
    taken: set[str] = set()
    opened: list[str] = []
    """What each open parenthesis belongs to: the function's name, or nothing."""
    is_operand = False
    """Whether the last token ended a value, so that a `*` multiplies."""
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else _Token("", "")
        after = tokens[index + 1] if index + 1 < len(tokens) else _Token("", "")
        if token.kind in ("text", "number"):
            is_operand = True
        elif token.kind == "sign":
            if token.text == "*" and not is_operand:
                raise Unfit("*", "names no column: list the columns")
            if token.text in "([":
                called = token.text == "(" and before.word in FUNCTIONS | _CASTS
                opened.append(before.word if called else "")
            elif token.text in ")]" and opened:
                opened.pop()
            is_operand = token.text in ")]"
        elif token.kind == "quoted":
            if after.text == "(":
                raise Unfit(token.text, "the name of a function is written bare")
            taken.add(_column(token.text[1:-1].replace("``", "`"), columns))
            is_operand = True
        elif before.word == "as":
            _require_type(token, opened)
            is_operand = True
        elif token.word in _LITERALS and after.kind == "text":
            _require_literal(token, after)
        elif token.word in _KEYWORDS or (token.word in _CASTS and after.text == "("):
            is_operand = token.word in _ENDS_OPERAND
        elif token.word in _WORDS and (token.text not in columns or after.text == "("):
            raise Unfit(token.text, _WORDS[token.word])
        elif after.text == "(":
            is_empty = index + 2 < len(tokens) and tokens[index + 2].text == ")"
            _require_function(token, is_empty=is_empty)
        else:
            taken.add(_column(token.text, columns))
            is_operand = True
    return frozenset(taken)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that was perhaps meant, to end a message; else nothing."""
    names = sorted(known)
    same = [other for other in names if other.lower() == name.lower()]
    if same:
        return f"; did you mean {same[0]!r}? The case of a name counts"
    close = difflib.get_close_matches(name.lower(), names, 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _tokens(expression: str) -> list[_Token]:
    """Return the tokens without white space.

    Raises:
        Unfit: something is no token, or one that cannot be judged.
    """
    if "${" in expression:  # Spark replaces these even within text
        raise Unfit("${", _UNREADABLE["${"])
    found, place = [], 0
    while place < len(expression):
        for text in ("--", "/*", "->", "=>"):
            # `<=>` is one token, read whole before its end is looked at.
            if expression.startswith(text, place):
                raise Unfit(text, _UNREADABLE[text])
        match = _TOKEN.match(expression, place)
        if match is None:
            text = expression[place]
            rule = "cannot be read: only ASCII letters, digits and _ make a name"
            raise Unfit(text, _UNREADABLE.get(text, rule))
        kind, text = str(match.lastgroup), match.group()
        if kind == "word" and text in ("r", "R", "x", "X") and expression[match.end() :][:1] == "'":
            raise Unfit(f"{text}'", "text with a prefix is not read here: write it without")
        if kind != "space":
            found.append(_Token(kind, text))
        place = match.end()
    if not found:
        raise Unfit(expression, "must name at least one column")
    return found


def _column(name: str, columns: Collection[str]) -> str:
    if name in columns:
        return name
    is_column = name.lower() in {column.lower() for column in columns}
    if name.lower() in CONTEXTUAL and not is_column:
        raise Unfit(name, _CONTEXT)
    raise Unfit(name, f"is not a declared column{nearest(name, columns)}")


def _require_function(token: _Token, *, is_empty: bool) -> None:
    if token.word in CONTEXTUAL:
        raise Unfit(f"{token.text}()", _CONTEXT)
    if token.word in AGGREGATES:
        raise Unfit(f"{token.text}()", "takes many rows: that is what a History is for")
    if token.word not in FUNCTIONS:
        hint = nearest(token.text, FUNCTIONS)
        rule = f"is not a function that an expression may use{hint}"
        raise Unfit(f"{token.text}()", f"{rule}; docs/adding-a-pipeline.md lists them")
    if is_empty:  # unix_timestamp() is the present
        raise Unfit(f"{token.text}()", "needs an argument: a value is made of its row alone")


def _require_type(token: _Token, opened: list[str]) -> None:
    if not opened or opened[-1] not in _CASTS:
        raise Unfit("AS", "belongs to a cast: an expression has no name of its own")
    if token.word not in _TYPES:
        raise Unfit(token.text, f"is not a type to cast to: one of {', '.join(sorted(_TYPES))}")


def _require_literal(token: _Token, text: _Token) -> None:
    if not _LITERALS[token.word].match(text.text):
        rule = "must be written out, as date '2026-01-31' or timestamp '2026-01-31 18:00:00'"
        raise Unfit(f"{token.text} {text.text}", rule)
