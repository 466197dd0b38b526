"""The forms that a run is triggered with: every value is checked before a task sees it."""

from __future__ import annotations

from airflow.sdk import Param

DAY = r"^\d{4}-\d{2}-\d{2}$"
MODEL_VERSION = r"^(champion|challenger|[1-9][0-9]{0,8})$"
ZOO_MODEL = r"^[a-z][a-z0-9_]{0,40}$"
TEXT = r"^[^\x00-\x1f\x7f]{1,200}$"


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


def flag(description: str, *, default: bool = False) -> Param:
    """Yes or no."""
    return Param(default, description, type="boolean")


def text(default: str, description: str) -> Param:
    """One line of text for the record."""
    return Param(default, description, type="string", pattern=TEXT)


def whole(default: int, minimum: int, maximum: int, description: str) -> Param:
    """A whole number within bounds."""
    return Param(default, description, type="integer", minimum=minimum, maximum=maximum)
