"""A dated log of rows: checked when it is built."""

from __future__ import annotations

from dataclasses import dataclass

from feature_store.definition.stream_fields import StreamFields
from feature_store.definition.stream_rules import check


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream(StreamFields):
    """A dated log of rows, read from a source: ingested once, however many pipelines read it.

    `ds` is the partition day. Each column belongs to a known-at group, which says when its values
    became known.

    Raises:
        DefinitionError: a field breaks a rule.
    """

    def __post_init__(self) -> None:
        check(self)
