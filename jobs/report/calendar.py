"""The nights of a pipeline as months of weeks, Monday first, for a page to show."""

from __future__ import annotations

import calendar
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.report.nights import NightRecord

MOST_MONTHS = 12
"""Months that are shown, the newest: older nights stand in the list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One day of a month."""

    day: date
    night: NightRecord | None
    """None where nothing is known of it."""
    has_page: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Month:
    """One month."""

    title: str
    weeks: tuple[tuple[Cell | None, ...], ...]
    """Seven cells each; None for days of other months."""


def months(nights: Mapping[date, NightRecord], pages: Collection[date]) -> list[Month]:
    """Return the months in which a night is known or has a page, the newest first."""
    days = {*nights, *pages}
    shown = sorted({(day.year, day.month) for day in days}, reverse=True)[:MOST_MONTHS]
    return [_month(year, month, nights, pages) for year, month in shown]


def _month(
    year: int, month: int, nights: Mapping[date, NightRecord], pages: Collection[date]
) -> Month:
    def cell(day: date) -> Cell | None:
        if day.month != month:
            return None
        return Cell(day=day, night=nights.get(day), has_page=day in pages)

    weeks = calendar.Calendar(firstweekday=0).monthdatescalendar(year, month)
    return Month(
        title=f"{calendar.month_name[month]} {year}",
        weeks=tuple(tuple(cell(day) for day in week) for week in weeks),
    )
