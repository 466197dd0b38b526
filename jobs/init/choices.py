"""Which columns a model may use and how, and which are left out and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from jobs.init.forms import numbers_of
from jobs.init.keys import id_score
from jobs.init.labels import is_outcome
from jobs.init.names import AMOUNT, feature_name, unused
from jobs.init.parts import FeatureGuess, HistoryGuess, LabelGuess, LeftOut
from jobs.init.seen import Seen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_CODE = re.compile(
    r"(type|code|class|category|categ|cat|group|segment|level|hour|weekday|dow|month|zip|postcode|"
    r"region|country|city|channel|status|position|slot|gender|sex|kind|grade|tier|brand|plan)"
    r"(_of_.+)?\d*\Z"
)
_FEW, _MANY = 12, 1_000
"""Values up to which a whole number of an unknown kind, or one that its name calls a code, is a
category."""
_ONCE = 0.9
"""Different values for each row from which on a category hardly comes back."""
_OF_OUTCOME = r"(at|on|time|ts|timestamp|date|value|amount|revenue|delay|id|source|reason)\Z"
"""What is told of an outcome beside whether it happened: when, how much, why."""
_WORDS, _LETTERS = 4.0, 60.0
_EXACT = 1 << 24
"""From here on a model's float32 has steps."""
_SKEWED = 10.0
_LEAST_OF_LEAK, _LEAST_APART = 2, 10
"""Rows on either side from which on it is no accident that something goes with the label."""
_ENTITIES, _COMES_BACK = 3, 0.5


def features_of(
    seen: Seen, label: LabelGuess | None, aside: Collection[str]
) -> tuple[list[FeatureGuess], list[LeftOut]]:
    """Return the features, categories first, and what is left out with the reason.

    Args:
        seen: the table.
        label: what is predicted.
        aside: columns that say when: they are no features, and nothing needs to be said of them.
    """
    found: list[FeatureGuess] = []
    left = [LeftOut(theirs=name, why=why) for name, why in seen.without.items()]
    for name in seen.looks:
        if name in aside or (label is not None and name == label.column):
            continue
        why = _unfit(seen, name, label)
        if why:
            left.append(LeftOut(theirs=seen.looks[name].name, why=why))
        else:
            found.append(_feature(seen, name))
    return sorted(found, key=lambda feature: feature.kind != "categorical"), left


def with_a_category(
    seen: Seen, features: Sequence[FeatureGuess], keys: Sequence[str]
) -> list[FeatureGuess]:
    """Return the features; without a category, which every model needs, the first key is one."""
    if any(feature.kind == "categorical" for feature in features):
        return list(features)
    name = next((key for key in keys if key in seen.looks), keys[0])
    why = "every model needs a category, and there is no better one than a key"
    others = [feature for feature in features if feature.column != name]
    made = FeatureGuess(name=feature_name(name), column=name, kind="categorical", why=why)
    return [made, *others]


def histories_of(
    seen: Seen, features: Sequence[FeatureGuess], label: LabelGuess | None
) -> list[HistoryGuess]:
    """Return how often the label was true for each of the main entities."""
    if label is None:
        return []
    entities = [
        feature.column
        for feature in features
        if feature.kind == "categorical"
        and id_score(feature.column)
        and seen.share(feature.column) <= _COMES_BACK
    ]
    if not entities:
        others = [f.column for f in features if f.kind == "categorical" and f.column in seen.looks]
        entities = sorted(others, key=lambda name: -seen.looks[name].distinct)[:1]
    taken = [*seen.looks, *(feature.name for feature in features)]
    found: list[HistoryGuess] = []
    for name in entities[:_ENTITIES]:
        rows = seen.looks[name].filled / max(seen.looks[name].distinct, 1)
        stem = re.sub(r"_(id|uuid|key|no|code)\Z", "", name)
        why = f"the label's share for each {name} before: {rows:,.1f} rows each"
        history = unused(f"{stem}_rate", [*taken, *(h.name for h in found)])
        found.append(HistoryGuess(name=history, keys=(name,), value=label.expression, why=why))
    return found


def _unfit(seen: Seen, name: str, label: LabelGuess | None) -> str:
    """Return why a column is no feature, empty if it is one."""
    look, kind = seen.looks[name], seen.kinds[name]
    if not look.filled:
        return "no row has a value"
    if seen.is_constant(name) and not look.nulls:
        return f"the same in every row: {look.examples[0]}"
    if label is not None:
        why = _leak(seen, name, label)
        if why:
            return why
    if kind.is_time:
        return "a time: a model takes no time; tell how long ago it was as a number"
    if kind.dtype == "string":
        if look.mean_words >= _WORDS or look.mean_letters >= _LETTERS:
            return f"free text: {look.mean_words:.0f} words a row"
        if seen.share(name) >= _ONCE and look.filled > 1:
            return "hardly a value comes back, so nothing is learnt of one"
    if kind.dtype in ("int", "bigint") and _counts_rows(seen, name):
        return "counts the rows"
    if kind.dtype in ("int", "bigint") and id_score(name) and seen.share(name) >= _ONCE:
        return "an id that hardly comes back, so nothing is learnt of one"
    return ""


def _leak(seen: Seen, name: str, label: LabelGuess) -> str:
    """Return why a column tells the label, empty if nothing says so."""
    positive, known = truths(seen, label.column)
    truth = positive[known]
    is_enough = min(truth.sum(), (~truth).sum()) >= _LEAST_OF_LEAK
    for pattern, what in _patterns(seen, name) if is_enough else ():
        shown = pattern[known]
        if (shown == ~truth).all():
            return f"{what} exactly where {label.name} is false: it tells the label"
        if (shown == truth).all():
            return f"{what} exactly where {label.name} is true: it tells the label"
    if _separates(seen, name, positive, known):
        return f"is larger in every row where {label.name} is true, or smaller: it tells the label"
    stem = re.sub(r"\A(is|has|was)_|(ed|d)\Z", "", label.name)
    if re.match(rf"{stem}(ed|d)?_{_OF_OUTCOME}", name):
        return f"its name says that it belongs to the label {label.name}: known after the event"
    if name in label.others and is_outcome(name):
        return "reads like another outcome: known after the event"
    return ""


def _separates(seen: Seen, name: str, positive: Mask, known: Mask) -> bool:
    """Whether a number alone parts the rows for which the label is true from the others."""
    import numpy as np

    if seen.kinds[name].dtype not in ("int", "bigint", "double") or id_score(name):
        return False
    numbers = _numbers(seen, name)
    is_there = known & ~np.isnan(numbers)
    true, false = numbers[is_there & positive], numbers[is_there & ~positive]
    if min(len(true), len(false)) < _LEAST_APART:
        return False
    return bool(true.min() > false.max() or true.max() < false.min())


def _patterns(seen: Seen, name: str) -> Iterator[tuple[Mask, str]]:
    """Yield in which rows of the sample something is so, and what."""
    import pyarrow.compute as pc

    values, kind = seen.values(name), seen.kinds[name]
    if values.null_count:
        yield _mask(values.is_null()), "is null"
    if kind.is_truth:
        positive, known = truths(seen, name)
        yield positive & known, "is true"
    elif kind.dtype in ("int", "bigint", "double"):
        zero = pc.match_substring_regex if seen.looks[name].forms else None
        shown = zero(values, r"^\s*[+-]?0+(\.0*)?\s*$") if zero else pc.equal(values, 0)
        yield _mask(pc.coalesce(shown, values.is_null())), "is 0 or null"


def truths(seen: Seen, name: str) -> tuple[Mask, Mask]:
    """Return in which rows of the sample a column that says yes and no says yes, and where it says.

    A pair of whole numbers says yes by the larger one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values, kind, look = seen.values(name), seen.kinds[name], seen.looks[name]
    known = _mask(values.is_valid())
    if pa.types.is_boolean(values.type):
        return _mask(values.fill_null(False)), known
    if kind.positive:
        is_yes = pc.is_in(values, pa.array(kind.positive))
    elif pa.types.is_string(values.type):
        words = ["true", "t", "1", "1.0"]
        if kind.dtype != "boolean":
            words = [word for word in look.counts if float(word) == look.maximum]
        is_yes = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(values)), pa.array(words))
    else:
        is_yes = pc.equal(values, 1 if kind.dtype == "boolean" else look.maximum)
    return _mask(pc.coalesce(is_yes, pa.scalar(False))), known


def _mask(values: object) -> Mask:
    import numpy as np

    return np.asarray(values, dtype=np.bool_)


def _feature(seen: Seen, name: str) -> FeatureGuess:
    look, kind, called = seen.looks[name], seen.kinds[name], feature_name(name)
    if kind.dtype not in ("int", "bigint", "double"):
        why = "yes and no" if kind.is_truth else "text that comes back"
        why = f"{why}: {_count(seen, name)} values"
        return FeatureGuess(name=called, column=name, kind="categorical", why=why)
    if id_score(name) and kind.dtype != "double":
        why = f"an id by its name: {_count(seen, name)} values"
        return FeatureGuess(name=called, column=name, kind="categorical", why=why)
    is_few = look.is_exact and look.distinct <= (_MANY if _CODE.search(name) else _FEW)
    is_code = bool(_CODE.search(name)) or not AMOUNT.search(name)
    comes_back = look.filled >= 5 * look.distinct
    if kind.dtype != "double" and is_few and is_code and comes_back:
        why = f"a whole number with {look.distinct} values"
        return FeatureGuess(name=called, column=name, kind="categorical", why=why)
    return _numeric(seen, name, called)


def _numeric(seen: Seen, name: str, called: str) -> FeatureGuess:
    look = seen.looks[name]
    low, high = look.minimum or 0.0, look.maximum or 0.0
    why = f"a number from {low:,.6g} to {high:,.6g}"
    if low >= _EXACT and high - low < low:
        why = f"{why}, counted from the smallest so that float32 keeps its digits"
        return FeatureGuess(name=called, column=name, kind="numeric", why=why, offset=float(low))
    if low >= 0 and high > 0 and _is_skewed(seen, name):
        why = f"{why}, a few of them far larger than the others"
        return FeatureGuess(name=called, column=name, kind="numeric", why=why, transform="log1p")
    return FeatureGuess(name=called, column=name, kind="numeric", why=why)


def _is_skewed(seen: Seen, name: str) -> bool:
    import numpy as np

    numbers = _numbers(seen, name)
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers) < 10:
        return False
    middle, large = np.quantile(numbers, [0.5, 0.99])
    return bool(large > _SKEWED * max(middle, 1.0))


def _counts_rows(seen: Seen, name: str) -> bool:
    import numpy as np

    numbers = _numbers(seen, name)
    return len(numbers) > 2 and bool(np.all(np.diff(numbers) == 1))


def _numbers(seen: Seen, name: str) -> NDArray[np.float64]:
    """Return the numbers of a column of the sample, NaN where there is none."""
    import numpy as np
    import pyarrow as pa

    values = seen.values(name)
    numbers = numbers_of(values) if pa.types.is_string(values.type) else values.cast(pa.float64())
    return np.asarray(numbers.fill_null(np.nan), dtype=np.float64)


def _count(seen: Seen, name: str) -> str:
    look = seen.looks[name]
    return f"{'' if look.is_exact else 'more than '}{look.distinct:,}"
