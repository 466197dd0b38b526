"""The forms that a run is triggered with: every value is checked before a task sees it."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.sdk import Param

# `$` also matches before a last line break; what this says holds in Python and in a browser alike.
_END = r"(?![\s\S])"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}" + _END
MODEL_VERSION = r"^(champion|challenger|[1-9][0-9]{0,8})" + _END
ZOO_MODEL = r"^[a-z][a-z0-9_]{0,40}" + _END
# No control character, and none of those that somewhere count as a line break.
TEXT = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}" + _END


def day(description: str, *, optional: bool = False) -> Param:
    """A UTC day, written YYYY-MM-DD."""
    if optional:
        return Param(None, description, type=["null", "string"], format="date", pattern=DAY)
    return Param(description=description, type="string", format="date", pattern=DAY)


def days(description: str) -> Param:
    """Some UTC days, which may be none."""
    return Param([], description, type="array", items={"type": "string", "pattern": DAY})


def model_version(description: str) -> Param:
    """A registered model: an alias or a version number."""
    return Param("champion", description, type="string", pattern=MODEL_VERSION)


def zoo_model(description: str) -> Param:
    """A model to train; none is the definition's own."""
    return Param(None, description, type=["null", "string"], pattern=ZOO_MODEL)


def choice(values: Sequence[str], description: str) -> Param:
    """One of some words, or none."""
    return Param(None, description, type=["null", "string"], enum=[None, *values])


def flag(description: str, *, default: bool = False) -> Param:
    """Yes or no."""
    return Param(default, description, type="boolean")


def text(default: str, description: str) -> Param:
    """One line of text for the record, whichever way lines are told apart."""
    return Param(default, description, type="string", pattern=TEXT)


def whole(default: int, minimum: int, maximum: int, description: str) -> Param:
    """A whole number within bounds."""
    return Param(default, description, type="integer", minimum=minimum, maximum=maximum)
