"""The histogram of a night's scores, as inline SVG: bars for the day, a band for those before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.report.facts import DayScores

WIDTH, HEIGHT = 720, 250
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 10, 34
MOST_BARS = 32
# Bars per chart are the fewest fine bins of 0.005 that show at most MOST_BARS of them.
_WIDTHS = (1, 2, 4, 5, 10)


def histogram_svg(day: DayScores | None, before: Sequence[DayScores]) -> str:
    """Return the SVG element, or an empty string where there is nothing to draw."""
    shown = [d for d in (day, *before) if d is not None and d.rows]
    if not shown:
        return ""
    first, width, bars = _frame(shown)
    shares = [_shares(d, first, width, bars) for d in shown if d is not day]
    own = _shares(day, first, width, bars) if day is not None and day.rows else []
    top = max(max(s) for s in (*shares, own) if s) * 1.05
    parts = [_grid(top, first, width, bars)]
    if own:
        parts += [_bar(i, share, bars, top) for i, share in enumerate(own)]
    if shares:
        parts.append(_band(shares, bars, top))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_summary(day, before)}">'
        f"{''.join(parts)}</svg>"
    )


def _summary(day: DayScores | None, before: Sequence[DayScores]) -> str:
    own = (
        f"Scores of {day.ds}: mean {day.mean:.3f}, half of them below {day.quantile(0.5):.3f}."
        if day is not None and day.rows
        else "No scores of the day."
    )
    return f"Histogram. {own} Compared with {len(before)} days before; the figures follow below."


def _frame(shown: Sequence[DayScores]) -> tuple[int, int, int]:
    """Return the first fine bin, the fine bins per bar and the number of bars that hold all."""
    used = [i for d in shown for i, count in enumerate(d.counts) if count]
    low, high = min(used), max(used) + 1
    width = next(w for w in (*_WIDTHS, 200) if -(-high // w) - low // w <= MOST_BARS)
    return low // width * width, width, -(-high // width) - low // width


def _shares(day: DayScores, first: int, width: int, bars: int) -> list[float]:
    starts = range(first, first + bars * width, width)
    return [sum(day.counts[i : i + width]) / day.rows for i in starts]


def _x(place: float, bars: int) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * place / bars, 1)


def _y(share: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share / top, 1)


def _bar(place: int, share: float, bars: int, top: float) -> str:
    left, right, y = _x(place, bars), _x(place + 1, bars), _y(share, top)
    wide, high = round(right - left - 1, 1), round(HEIGHT - BOTTOM - y, 1)
    return f'<rect class="bar" x="{left + 0.5}" y="{y}" width="{wide}" height="{high}"/>'


def _band(shares: Sequence[Sequence[float]], bars: int, top: float) -> str:
    """Draw the range of the days before as a band, and their mean as a line."""
    columns = list(zip(*shares, strict=True))
    points = [(_x(i + 0.5, bars), column) for i, column in enumerate(columns)]
    upper = [f"{x},{_y(max(column), top)}" for x, column in points]
    lower = [f"{x},{_y(min(column), top)}" for x, column in reversed(points)]
    mean = [f"{x},{_y(sum(column) / len(column), top)}" for x, column in points]
    return (
        f'<polygon class="band" points="{" ".join([*upper, *lower])}"/>'
        f'<polyline class="mean" points="{" ".join(mean)}"/>'
    )


def _grid(top: float, first: int, width: int, bars: int) -> str:
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if top / s <= 6)
    lines = []
    for i in range(int(top / step) + 1):
        y = _y(i * step, top)
        lines.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{i * step:.0%}</text>'
        )
    every = max(1, -(-bars // 8))
    for place in range(0, bars + 1, every):
        x, score = _x(place, bars), (first + place * width) / 200
        anchor = "end" if place == bars else "middle"
        lines.append(
            f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="{anchor}">{score:g}</text>'
        )
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    title = f'<text x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">score</text>'
    return "".join([*lines, title])
