"""The version of the code that computed something: of nightscore, and of each table's rows.

A release that changes no row must not make years of them stale, and a mended formula must, the day
it is merged. So every table has a revision of its own, raised by hand when its rows may differ;
`tests/unit/test_revisions.py` fails when code that makes rows changed and nobody has said whether.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from feature_store.schema import EVENTS, FEATURES, SCORES, TILES, TRAINING_SETS

MODELS = "models"

REVISIONS = {EVENTS: 1, TILES: 1, FEATURES: 1, TRAINING_SETS: 1, MODELS: 1, SCORES: 1}
"""Raise a table's number when its rows may differ from those that the code before made; that of
models when the same training set may give another model."""

MADE_BY = {
    EVENTS: (
        "feature_store/events/quarantine.py",
        "feature_store/events/content.py",
        "feature_store/sources/*.py",
    ),
    TILES: ("feature_store/features/tiles.py",),
    FEATURES: (
        "feature_store/features/features.py",
        "feature_store/features/asof.py",
        "feature_store/events/content.py",
        "feature_store/features/tiles.py",
    ),
    MODELS: (
        "models/training/data.py",
        "models/zoo/dcnv2.py",
        "models/training/feed.py",
        "models/zoo/finalmlp.py",
        "models/training/fitting.py",
        "models/zoo/fm.py",
        "models/layers/*.py",
        "models/zoo/lr.py",
        "models/training/moments.py",
        "models/ranker.py",
        "models/training/trainer.py",
        "models/vocabulary.py",
    ),
    TRAINING_SETS: ("feature_store/features/encode.py", "jobs/training/training_set.py"),
    SCORES: (
        "feature_store/features/encode.py",
        "jobs/night/scorer.py",
        "models/scoring/predict.py",
    ),
}
"""The files that decide what is made, as patterns from the root of the repository."""


@cache
def code_version() -> str:
    """Return the installed version of nightscore."""
    return version("nightscore")


def revision(what: str) -> str:
    """Return the revision of the code that makes a table's rows, or models, as it is pinned."""
    return f"{what} r{REVISIONS[what]}"
