"""Which columns identify a row within a day."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from jobs.init.names import AMOUNT
from jobs.init.parts import KeysGuess
from jobs.init.seen import Seen

if TYPE_CHECKING:
    import pandas as pd

    from jobs.init.seen import Instants

_ID = re.compile(r"((.+_)?(id|uuid|guid)|(.+_)(key|no|nr|number|code|hash))\Z")
_ENTITY = re.compile(
    r"(.+_)?(user|customer|client|member|account|item|product|article|sku|order|session|device|"
    r"visitor|store|shop|merchant|seller|campaign|ad|impression|transaction|invoice|movie|song|"
    r"track|book|patient|driver|trip|flight|carrier|tailnum|machine|sensor|station|loan|policy|"
    r"msisdn|email|username|host|url|page)(_name)?\Z"
)
_MOST_COLUMNS = 4
_MOST_OF_A_KIND, _MOST_TRIED = 6, 200
"""Columns that are tried together, and how often: each try looks at every row of the sample."""


def id_score(name: str) -> int:
    """Return how much a name reads like that of an id: 3, 2 or 1; 0 if it does not."""
    if name == "id":
        return 3
    if _ID.match(name):
        return 2
    return 1 if _ENTITY.match(name) else 0


def keys_of(seen: Seen, days: Instants, event: str, kept_out: Sequence[str]) -> KeysGuess:
    """Return the fewest columns that no two rows of a day share, ids before all others.

    Args:
        seen: the table.
        days: the day of each row of the sample.
        event: the column that says when a row happens; the last to be a key.
        kept_out: columns that are no keys: what is known after the event.
    """
    candidates = _candidates(seen, kept_out, event)
    ids = [name for name in candidates if id_score(name)][:_MOST_OF_A_KIND]
    rest = [name for name in candidates if not id_score(name)][:_MOST_OF_A_KIND]
    when = [event] if event in seen.looks else []
    frame = _codes(seen, [*ids, *rest, *when], days)
    where = "in every row" if seen.table.is_whole else f"in the first {len(frame):,} rows"
    fewest: tuple[int, tuple[str, ...]] | None = None
    for names in _tries(ids, rest, when):
        duplicates = int(frame.duplicated(["_day", *names]).sum())
        if not duplicates:
            together = "together" if len(names) > 1 else "by itself"
            return KeysGuess(columns=names, why=f"unique within a day {together}, {where}")
        if fewest is None or duplicates < fewest[0]:
            fewest = duplicates, names
    if fewest is None:
        return KeysGuess(columns=(), why="no column could be a key")
    why = (
        f"nothing is unique within a day: {fewest[0]:,} of {len(frame):,} rows have the keys of "
        "another, and of these one is kept. Name columns that tell them apart"
    )
    return KeysGuess(columns=fewest[1], why=why, duplicates=fewest[0])


def _candidates(seen: Seen, kept_out: Sequence[str], event: str) -> list[str]:
    """Return the columns that could be keys, the likelier first."""
    found = [
        name
        for name, look in seen.looks.items()
        if not look.nulls
        and look.filled
        and name not in (*kept_out, event)
        and seen.kinds[name].dtype in ("string", "int", "bigint")
        and not seen.kinds[name].positive
        and (id_score(name) or not (seen.is_constant(name) or AMOUNT.search(name)))
        and look.mean_words < 2
    ]
    return sorted(found, key=lambda name: -id_score(name))


def _tries(ids: list[str], rest: list[str], when: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield what may be the keys: ids alone, then with the time, then with whatever there is."""
    seen: set[tuple[str, ...]] = set()
    for names in (ids, [*ids, *when], [*ids, *rest, *when]):
        for size in range(1, min(_MOST_COLUMNS, len(names)) + 1):
            for chosen in combinations(names, size):
                if chosen in seen:
                    continue
                if len(seen) >= _MOST_TRIED:
                    return
                seen.add(chosen)
                yield chosen


def _codes(seen: Seen, names: Sequence[str], days: Instants) -> pd.DataFrame:
    """Return the columns of the sample as numbers, which are the same where the values are."""
    import pandas as pd

    encoded = {name: seen.values(name).dictionary_encode() for name in names}
    codes = {name: column.indices.fill_null(-1).to_numpy() for name, column in encoded.items()}
    return pd.DataFrame({**codes, "_day": days.astype("int64")})
