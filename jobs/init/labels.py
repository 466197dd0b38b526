"""Which column could be predicted."""

from __future__ import annotations

import re
from collections.abc import Mapping

from jobs.init.names import in_expression
from jobs.init.parts import LabelGuess
from jobs.init.seen import Seen

_NAMED = (
    (100, re.compile(r"(label|target|y)\Z")),
    (95, re.compile(r"(is_|has_)?(outcome|response|positive|class)\Z")),
    (
        90,
        re.compile(
            r"(is_|has_|was_)?(click(ed)?|convert(ed)?|conversion|bought|buy|purchased?|churn(ed)?|"
            r"fraud(ulent)?|spam|cancell?ed|returned|refunded|default(ed)?|subscribed|late|delayed|"
            r"survived|won|responded|opened|attrition|exited|deposit|liked?|ordered|reordered|"
            r"installed|no_show|disabled|failed|failure)\Z"
        ),
    ),
    (70, re.compile(r"(label|target)_|_(label|target|clicked|converted|bought|churned|outcome)\Z")),
    (50, re.compile(r"(is|has|was|did|will)_|_flag\Z")),
)
_BEFOREHAND = re.compile(
    r"(weekend|holiday|mobile|new|member|premium|active|male|female|adult|student|first|internal|"
    r"test|promo|business|prime|logged|app)"
)
_OUTCOME = 85
_LEAST = 40
_AMOUNTS = re.compile(r"(rating|stars|score|amount|revenue|spend|delay|duration|sales|value|price)")
_SHOWN = 5


def label_scores(seen: Seen) -> dict[str, int]:
    """Return the columns that say yes and no, the likeliest label first, with how likely."""
    found = {}
    for name in seen.looks:
        score = _score(name)
        if _positive(seen, name, score) and not seen.is_constant(name):
            found[name] = score
    return dict(sorted(found.items(), key=lambda item: (-item[1], list(seen.looks).index(item[0]))))


def is_outcome(name: str) -> bool:
    """Whether a name tells of what happens to a row, and not of what the row is."""
    return _score(name) >= _OUTCOME


def label_of(seen: Seen, scores: Mapping[str, int]) -> tuple[LabelGuess | None, str]:
    """Return the likeliest label, or none and what to write."""
    likely = [name for name, score in scores.items() if score >= _LEAST]
    if not likely and len(scores) == 1:
        likely = list(scores)
    if not likely:
        return None, _missing(seen, list(scores))
    name = likely[0]
    expression, positives = _positive(seen, name, scores[name]) or (name, 0)
    look = seen.looks[name]
    rate = positives / look.filled
    others = tuple(other for other in scores if other != name)
    told = f"true in {rate:.2%} of {look.filled:,} rows that say it"
    because = (
        "its name reads like an outcome" if scores[name] >= _LEAST else "no other says yes or no"
    )
    also = f"; it could also be {', '.join(others[:_SHOWN])}" if others else ""
    guess = LabelGuess(
        name=name,
        expression=expression,
        column=name,
        rate=rate,
        why=f"{because}; {told}{also}",
        others=others,
    )
    return guess, ""


def _score(name: str) -> int:
    score = next((score for score, pattern in _NAMED if pattern.search(name)), 10)
    return 20 if score < _OUTCOME and _BEFOREHAND.search(name) else score


def _positive(seen: Seen, name: str, score: int) -> tuple[str, int] | None:
    """Return the expression that is true for a positive row, and how many there are."""
    look, kind, column = seen.looks[name], seen.kinds[name], in_expression(name)
    if kind.positive:
        listed = ", ".join(f"'{word}'" for word in kind.positive)
        expression = f"{column} IN ({listed})" if len(kind.positive) > 1 else f"{column} = {listed}"
        return expression, sum(look.counts[word] for word in kind.positive)
    if kind.dtype == "boolean":
        words = ("true", "t", "1", "1.0")
        return column, sum(n for v, n in look.counts.items() if v.strip().lower() in words)
    is_pair = kind.dtype in ("int", "bigint") and look.distinct == 2 and look.is_exact
    if is_pair and score >= _OUTCOME and look.maximum is not None:
        high = sum(n for v, n in look.counts.items() if float(v) == look.maximum)
        return f"{column} = {look.maximum:.0f}", high
    return None


def _missing(seen: Seen, truths: list[str]) -> str:
    if truths:
        which = f"{', '.join(truths[:_SHOWN])} say yes and no, and none reads like an outcome"
        return f'{which}. Write which one is predicted: expression="{in_expression(truths[0])}"'
    amounts = [name for name in seen.looks if _AMOUNTS.search(name) and _is_number(seen, name)]
    example = f"{in_expression(amounts[0])} > 0" if amounts else "amount > 0"
    return (
        "no column says yes and no. Write what is predicted as a condition over columns that are "
        f'known after the event, such as expression="{example}"'
    )


def _is_number(seen: Seen, name: str) -> bool:
    return seen.kinds[name].dtype in ("int", "bigint", "double")
