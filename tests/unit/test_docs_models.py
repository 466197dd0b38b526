"""docs/models.md names every setting of the models it tells of, with its default, and no other.

A model of one's own need not stand there.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from feature_store.definition import Training
from jobs.maintenance.models import ModelRetention
from models.registry import MODELS
from models.scoring.precision import PrecisionBounds

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "models.md").read_text()
TOLD = re.findall(r"^### `(\w+)`$", TEXT, flags=re.MULTILINE)
CONFIGS: dict[str, Any] = {f"### `{name}`": MODELS[name].config_class for name in TOLD}


def settings_below(heading: str) -> dict[str, str]:
    """Setting -> default, as the table below a heading says."""
    section = re.split(r"^##+ ", TEXT.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)
    return dict(re.findall(r"^\| `(\w+)` \| `([^|]*)` \|", section[0], flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "config"), [*CONFIGS.items(), ("## Settings of a training", Training)]
)
def test_every_setting_is_told_with_its_default(heading: str, config: Any) -> None:
    assert f"{heading}\n" in TEXT
    expected = {field.name: repr(field.default) for field in dataclasses.fields(config)}
    assert settings_below(heading) == expected


def test_a_model_is_told_with_its_paper() -> None:
    assert {"lr", "fm", "dcnv2", "finalmlp", "deepfm", "autoint_plus"} <= set(TOLD)
    for name in TOLD:
        assert f"| `{name}` | {MODELS[name].paper} |" in TEXT


def test_the_numbers_told_are_those_in_the_code() -> None:
    flat, bounds, kept = " ".join(TEXT.split()), PrecisionBounds(), ModelRetention()
    assert f"AUC beyond {bounds.auc}, of logloss beyond {bounds.logloss}" in flat
    assert f"beyond {bounds.rank} or of any one score beyond {bounds.score}" in flat
    assert f"more than {bounds.top} of the rows with the highest scores being others" in flat
    assert f"more than {bounds.ties} of their scores becoming equal" in flat
    assert f"in the last {kept.used_days} days" in flat
    assert kept.newest == 5


def test_the_readme_leads_there() -> None:
    assert "docs/models.md" in (DOCS.parent / "README.md").read_text()
