"""Nights made up for tests of the report: facts, labels and records, without any table."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from feature_store.definition import Definition
from feature_store.tables.inputs import Inputs
from jobs.night.publication import Publication
from jobs.report.facts import FINE_BINS, ODDS_BINS, CheckRow, DayScores, LabelScores, NightFacts
from jobs.report.nights import Labelled, NightRecord
from jobs.report.realised import Realised, realised
from tests.toy import Row, toy_definition

NIGHT = date(2026, 3, 10)
INPUTS = Inputs(definition="d", code="1", source="", pins={}).to_json()


def scored(
    seed: int, rows: int = 900, rate: float = 0.25, shift: float = 0.0, sign: float = 1.0
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return labels and scores; the scores are the true probabilities, moved by `shift` logits.

    With `sign=-1` the order is turned around.
    """
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(rows)
    base = math.log(rate / (1 - rate))
    labels = (rng.random(rows) < 1 / (1 + np.exp(-(base + signal)))).astype(float)
    return labels, 1 / (1 + np.exp(-(base + sign * signal + shift)))


def found(seed: int = 1, **how: Any) -> Realised:
    """Return how good such scores turned out."""
    return realised(*scored(seed, **how))


def labelled(one: Realised | None, name: str = "clicked", later: int = 0) -> Labelled:
    """Return what is known of a night's labels."""
    return Labelled(
        state="s",
        by_label={} if one is None else {name: one},
        later=later,
        next_known=datetime(2026, 3, 12, 4, tzinfo=UTC) if later else None,
    )


def publication(day: date = NIGHT, version: int = 1, **changes: Any) -> Publication:
    """Return a publication of 900 scores."""
    told: dict[str, Any] = {
        "ds": day, "sequence": 1, "publication": "p", "run_id": f"run{day:%d}", "model_name": "lr",
        "model_version": version, "model_digest": "d", "inputs": INPUTS, "rows": 900, "who": "ann",
        "why": "nightly", "published_at": datetime(2026, 3, 10, 1, tzinfo=UTC),
    }  # fmt: skip
    return Publication(**told | changes)


def record(days_before: int, one: Realised | None, version: int = 1, **changes: Any) -> NightRecord:
    """Return what is kept of a night before."""
    day = NIGHT - timedelta(days=days_before)
    told: dict[str, Any] = {
        "ds": day, "level": "good", "title": "Published", "reasons": (), "unknown": (),
        "labelled": labelled(one), "run_id": f"run{day:%d}", "model_name": "lr",
        "model_version": version, "rows": 900, "read_rows": 900, "bad_rows": 0,
    }  # fmt: skip
    return NightRecord(**told | changes)


def check(name: str, *, passed: bool = False, severity: str = "block") -> CheckRow:
    """Return a recorded result of a check."""
    return CheckRow(
        stage="features", run_id="v1", check=name, column="price", passed=passed,
        observed="3 of 20 rows", expected="0 <= price", bad_rows=3, rows=20, severity=severity,
    )  # fmt: skip


def facts(definition: Definition | None = None, **changes: Any) -> NightFacts:
    """Return the facts of a night that is published, with nothing against it."""
    past = changes.pop("past", ())
    now = changes.pop("publications", [publication()])
    told: dict[str, Any] = {
        "definition": definition or toy_definition([Row(day=0, user="u", item="i")]),
        "ds": NIGHT,
        "failure": "",
        "ledger": [*(publication(night.ds, night.model_version) for night in past), *now],
        "publications": now,
        "commits": {},
        "run_id": "run10",
        "reasons": {},
        "checks": (),
        "scores": (),
        "labelled": Labelled(),
        "model": None,
        "model_problem": "",
        "past": past,
    }
    return NightFacts(**told | changes)


def day_scores(day: date, scores: np.ndarray[Any, Any]) -> DayScores:
    """Return the histograms of scores, as `jobs.report.facts` counts them."""
    within = np.clip(scores, 1.2e-7, 1 - 1.2e-7)
    place = np.minimum((scores * FINE_BINS).astype(int), FINE_BINS - 1)
    odds = np.floor((np.log(within / (1 - within)) + 16) * 4).astype(int)
    return DayScores(
        ds=day,
        run_id=f"run{day:%d}",
        mean=float(scores.mean()),
        counts=tuple(np.bincount(place, minlength=FINE_BINS).tolist()),
        odds=tuple(np.bincount(odds, minlength=ODDS_BINS).tolist()),
    )


def scores_against(
    scores: np.ndarray[Any, Any], before: list[np.ndarray[Any, Any]], name: str = "clicked"
) -> LabelScores:
    """Return the scores of a night beside those of the nights before it, oldest first."""
    days = [NIGHT - timedelta(days=len(before) - i) for i in range(len(before))]
    return LabelScores(
        label=name,
        day=day_scores(NIGHT, scores),
        before=[day_scores(day, found) for day, found in zip(days, before, strict=True)],
    )
