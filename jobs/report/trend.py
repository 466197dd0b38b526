"""Quality over nights and the calibration curve of one, as inline SVG: nothing to fetch or run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, isfinite
from typing import TYPE_CHECKING

from markupsafe import escape

if TYPE_CHECKING:
    from jobs.report.nights import NightRecord
    from models.reliability import Bin

WIDTH, HEIGHT = 720, 190
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 26
SQUARE = 300
MOST_NIGHTS = 92
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One night on a chart."""

    ds: date
    value: float
    level: str
    against: float = float("nan")
    """What the value is held against on that night, drawn as a short bar; NaN: nothing."""


def trends(nights: Sequence[NightRecord], label: str, max_ece: float) -> list[tuple[str, str, str]]:
    """Return (title, legend, SVG) of AUC, logloss and calibration error over labelled nights."""
    known = [
        (night, night.labelled.by_label[label].quality)
        for night in nights
        if label in night.labelled.by_label
    ][-MOST_NIGHTS:]
    auc = [Point(ds=n.ds, value=q.auc, level=n.level) for n, q in known]
    loss = [
        Point(ds=n.ds, value=q.logloss, level=n.level, against=q.base_logloss) for n, q in known
    ]
    ece = [Point(ds=n.ds, value=q.ece, level=n.level) for n, q in known]
    return [
        (
            "Logloss",
            "Dot: the scores. Bar: giving every row the night's own base rate. "
            "A dot above its bar is a night worse than knowing nothing of a row.",
            trend_svg("Logloss", loss),
        ),
        (
            "Calibration error",
            f"Line: the limit, max_ece={max_ece:g}. Small nights lie above it by chance.",
            trend_svg("Calibration error", ece, line=max_ece),
        ),
        ("AUC", "Line: .5, no order at all.", trend_svg("AUC", auc, line=0.5)),
    ]


def trend_svg(title: str, points: Sequence[Point], line: float | None = None) -> str:
    """Return a chart of one number over nights; an empty string where there is nothing to draw."""
    shown = [point for point in points if isfinite(point.value)]
    if not shown:
        return ""
    values = [p.value for p in shown] + [p.against for p in shown if isfinite(p.against)]
    values += [line] if line is not None and isfinite(line) else []
    low, high, step = _frame(values)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low), 1)

    def x(day: date) -> float:
        days = max(1, (shown[-1].ds - shown[0].ds).days)
        inside = WIDTH - LEFT - RIGHT - 20
        return round(LEFT + 10 + inside * (day - shown[0].ds).days / days, 1)

    parts = []
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value)}" y2="{y(value)}"/>'
            f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:.3g}</text>'
        )
    if line is not None and isfinite(line):
        parts.append(
            f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(line)}" y2="{y(line)}"/>'
        )
    parts += [_point(p, x(p.ds), y(p.value), y(p.against), title) for p in shown]
    parts += [
        f'<text x="{x(day)}" y="{HEIGHT - 6}" text-anchor="{anchor}">{day}</text>'
        for day, anchor in _ends([p.ds for p in shown])
    ]
    summary = escape(
        f"{title} of {len(shown)} labelled nights, {shown[0].ds} to {shown[-1].ds}: "
        f"the last {shown[-1].value:.3f}. The figures are in the list of nights."
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{summary}">'
        f"{''.join(parts)}</svg>"
    )


def curve_svg(bins: Sequence[Bin], label: str) -> str:
    """Return the calibration curve: share of positives over mean score, and the line they share."""
    if not bins:
        return ""
    top = max(0.01, *(max(point.score, point.label) for point in bins)) * 1.05
    rows = max(point.rows for point in bins)
    low, high = LEFT, SQUARE - RIGHT

    def x(value: float) -> float:
        return round(low + (high - low) * value / top, 1)

    def y(value: float) -> float:
        return round(SQUARE - BOTTOM - 12 - (SQUARE - TOP - BOTTOM - 12) * value / top, 1)

    step = next(s for s in _STEPS if top / s <= 5)
    parts = []
    for i in range(int(top / step) + 1):
        value = i * step
        parts.append(
            f'<line class="grid" x1="{low}" x2="{high}" y1="{y(value)}" y2="{y(value)}"/>'
            f'<text x="{low - 6}" y="{y(value) + 4}" text-anchor="end">{value:.3g}</text>'
            f'<text x="{x(value)}" y="{SQUARE - BOTTOM + 4}" '
            f'text-anchor="middle">{value:.3g}</text>'
        )
    parts.append(
        f'<line class="limit" x1="{x(0)}" y1="{y(0)}" x2="{x(top)}" y2="{y(top)}"/>'
        f'<polyline class="mean" points="{" ".join(f"{x(b.score)},{y(b.label)}" for b in bins)}"/>'
    )
    for b in bins:
        tip = f"{b.rows:,} rows: mean score {b.score:.3f}, {b.label:.1%} came true"
        radius = round(2.5 + 2.5 * (b.rows / rows) ** 0.5, 1)
        parts.append(
            f'<circle class="dot" cx="{x(b.score)}" cy="{y(b.label)}" r="{radius}">'
            f"<title>{tip}</title></circle>"
        )
    parts.append(
        f'<text x="{(low + high) / 2}" y="{SQUARE - 6}" text-anchor="middle">mean score</text>'
    )
    summary = escape(f"Calibration curve of {label}: the figures follow below.")
    return (
        f'<svg class="square" viewBox="0 0 {SQUARE} {SQUARE}" role="img" aria-label="{summary}">'
        f"{''.join(parts)}</svg>"
    )


def _point(point: Point, x: float, y: float, against: float, title: str) -> str:
    tip, bar = f"{point.ds}: {title} {point.value:.3f}", ""
    if isfinite(point.against):
        tip += f", base rate {point.against:.3f}"
        bar = f'<line class="base" x1="{x - 6}" x2="{x + 6}" y1="{against}" y2="{against}"/>'
    level = point.level.replace(" ", "-")
    return (
        f'{bar}<circle class="night {level}" cx="{x}" cy="{y}" r="4">'
        f"<title>{escape(tip)}</title></circle>"
    )


def _frame(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lowest line, the highest and the step between them, that hold all values."""
    low, high = min(values), max(values)
    wide = max(high - low, 0.02)
    step = next((s for s in _STEPS if wide / s <= 5), wide / 5)
    bottom = int(low / step) * step - (step if low < 0 else 0)
    return bottom, bottom + max(1, ceil((high - bottom) / step - 1e-9)) * step, step


def _ends(days: Sequence[date]) -> list[tuple[date, str]]:
    if len(days) == 1:
        return [(days[0], "start")]
    return [(days[0], "start"), (days[-1], "end")]
