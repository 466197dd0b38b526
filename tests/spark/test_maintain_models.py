"""Promises of the clean-up of models beside a real ledger: what scored lately stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.maintenance import models as cleaning
from jobs.maintenance.models import ModelRetention, maintain_models
from jobs.registry import model_registry
from jobs.training.train import train
from models.errors import BundleInvalid
from tests.conftest import OpenToy
from tests.toy import toy_days

DAYS = toy_days(8)
NEWEST = ModelRetention(newest=1, set_hours=0)


@pytest.mark.slow
def test_a_model_that_scored_lately_stays_and_later_goes_with_its_training_set(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_published()
    train(context, DAYS[0], DAYS[3], DAYS[7], on_progress=lambda _: None, compiled=False)
    old, new = (model_registry.get(context.home, "toy", version) for version in (1, 2))
    assert new.aliases == ("champion",)
    assert maintain_models(context, NEWEST, lambda _: None, dry_run=False).bundles_removed == ()

    monkeypatch.setattr(cleaning, "history", lambda _: [])  # a month later
    done = maintain_models(context, NEWEST, lambda _: None, dry_run=False)
    assert done.bundles_removed == ("lr version 1",)
    assert done.training_sets_removed == (old.training_set,)
    assert not Path(old.path).exists()
    with pytest.raises(BundleInvalid, match="lr version 1: its bundle was removed"):
        model_registry.get(context.home, "toy", 1)
    assert model_registry.champion(context.home, "toy") == new
    # The rows of the champion are still there: it is found, not trained again.
    again = train(context, DAYS[0], DAYS[3], DAYS[7], on_progress=lambda _: None, compiled=False)
    assert again.is_reused
    assert again.training_set.is_reused
