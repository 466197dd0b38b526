"""What a model predicts: each label said by the row itself, or by a stream some days later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feature_store.definition.parts import plain
from feature_store.definition.stream import Stream


@dataclass(frozen=True, kw_only=True, slots=True)
class _Predicted:
    """What a label is called, whoever tells it, and which rows can have it."""

    name: str
    """What is predicted, in a word or two: tables call it `y_<name>`."""
    given: str | None = field(default=None, metadata={"omit_default": True})
    """Another label of the pipeline: only a row for which that one is true has this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Label(_Predicted):
    """A boolean SQL expression over columns of the row to score; null = no label.

    A row for which it cannot be evaluated (a division by zero, text that is no number) has none.
    """

    expression: str
    """What is true of a positive row."""
    known: str
    """The group whose time says when the label is known; no column of `expression` is later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome(_Predicted):
    """Whether something happens in a stream after the cut-off: `buys within 7 days`.

    The label of a row is true if `value` holds for a row of the stream with the same keys on one of
    the `within_days` whole days (UTC, as the stream counts its days) that follow the cut-off, and
    false if it does for none. It is settled `settle_days` after the last of them: what is told of
    them by then decides it, and what is told later changes it no more. Until then it has no value.

    With `at_least` the label is true if as many rows say so, or, where `value` is a number, if they
    add up to it: `orders three times`, `spends 100 or more`.

    `value` is a boolean SQL expression over the stream's columns, or a number if there is an
    `at_least`. A row for which it cannot be evaluated says nothing. A row to score that lacks one
    of the keys has no label.
    """

    stream: Stream = field(metadata={"by_name": True})
    """Where it happens, or does not."""
    keys: tuple[str, ...]
    """Columns of the stream."""
    value: str
    """What a row of the stream must be for the label to be true, or what is added up."""
    known: str
    """The group whose time says when a row of the stream counts."""
    within_days: int
    """How many whole days after the cut-off are looked at."""
    settle_days: int = 0
    """How long to wait for what is told late."""
    at_least: float | None = field(default=None, metadata={"omit_default": True})
    """How many rows must say so, or what their numbers must add up to; None: one row."""
    on: tuple[str, ...] = ()
    """Columns of what is scored that are equal to `keys`, in their order; () if of the same names.
    """

    @property
    def asked_by(self) -> tuple[str, ...]:
        """The columns of what is scored that say of which keys the outcome is."""
        return self.on or self.keys

    @property
    def counted(self) -> str:
        """What is counted, where it is true."""
        return self.value


def label_record(labels: Sequence[Label | Outcome]) -> dict[str, Any]:
    """Return what a training set and a model tell of the labels that they are of.

    One alone stands under `label`: what was written before there could be several tells the same.
    """
    told = [plain(label) for label in labels]
    return {"label": told[0]} if len(told) == 1 else {"labels": told}


def recorded_labels(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a record of `label_record` tells of each label; nothing if it tells of none."""
    if "labels" in record:
        return list(record["labels"])
    return [record["label"]] if record.get("label") else []


def labels_agree(labels: Sequence[Label | Outcome], record: Mapping[str, Any]) -> bool:
    """Whether a model's record tells of these labels; one that tells of none is not doubted."""
    told = recorded_labels(record)
    return not told or told == [plain(label) for label in labels]


def label_words(told: Mapping[str, Any]) -> str:
    """Return what a label is, for a person, from what `plain` or a model's record tells of it."""
    given = f", given {told['given']!r}" if told.get("given") else ""
    if "expression" in told:
        return f"{told['expression']!r}{given} (known by {told['known']!r})"
    settled = f", settled {told['settle_days']} days later" if told["settle_days"] else ""
    least = told.get("at_least")
    amount = "" if least is None else f"at least {least:g} of "
    return (
        f"{amount}{told['value']!r} in the stream {told['stream']} by {', '.join(told['keys'])} "
        f"within {told['within_days']} days{settled}{given} (known by {told['known']!r})"
    )
