"""One pipeline, from source to gate: checked when it is built."""

from __future__ import annotations

from dataclasses import dataclass

from feature_store.definition.fields import Fields
from feature_store.definition.rules import check


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition(Fields):
    """One pipeline, from source to gate.

    `ds` is the partition day. A feature uses a value only if it was known before the cut-off:
    midnight UTC at the start of `ds`, moved by `cutoff_hours`.

    Raises:
        DefinitionError: a field breaks a rule.
    """

    def __post_init__(self) -> None:
        check(self)
