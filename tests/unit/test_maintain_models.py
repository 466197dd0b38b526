"""Promises of the clean-up of models: what may score stays, and nothing else is touched."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feature_store.home import Home
from jobs.cli import app as cli
from jobs.maintenance import models as cleaning
from jobs.maintenance.models import (
    ModelRetention,
    kept_models,
    maintain_models,
    mark_wanted,
    removable_bundles,
    removable_sets,
)
from jobs.maintenance.tables import Maintained
from jobs.registry import model_registry
from jobs.registry.model_registry import ModelRef
from models.errors import BundleInvalid
from tests.frozen import make_recipe, write_set
from tests.unit.conftest import save_bundle

SETS = {n: f"{n:016x}" for n in range(1, 12)}


def ref(version: int, *aliases: str, removed: str = "", path: str = "") -> ModelRef:
    return ModelRef(
        pipeline="toy", version=version, model="lr", path=path or f"/b/{version}", digest="d",
        metrics={}, aliases=aliases, training_set=SETS[version], removed_at=removed,
    )  # fmt: skip


def versions(refs: list[ModelRef]) -> list[int]:
    return sorted(one.version for one in refs)


def test_aliases_use_and_age_each_keep_a_bundle() -> None:
    known = [
        ref(8),
        ref(7),
        ref(6),
        ref(5),
        ref(4, "challenger"),
        ref(3),
        ref(2, "champion"),
        ref(1),
    ]
    kept = kept_models(known, used={3}, newest=2)
    assert versions(kept) == [2, 3, 4, 7, 8]
    assert versions(removable_bundles(known, kept)) == [1, 5, 6]


def test_removed_bundles_do_not_count_among_the_newest() -> None:
    known = [ref(4, removed="2026"), ref(3), ref(2), ref(1)]
    assert versions(kept_models(known, used=(), newest=2)) == [2, 3]


def test_a_folder_that_a_kept_version_shares_stays() -> None:
    known = [ref(2, path="/b/same"), ref(1, removed="2026", path="/b/same")]
    assert removable_bundles(known, kept_models(known, used=(), newest=1)) == []


def test_training_sets_of_kept_versions_stay_and_none_goes_while_one_does_not_say() -> None:
    known = [ref(2), ref(1)]
    assert removable_sets(known, known[:1], [SETS[1], SETS[2], SETS[3]]) == [SETS[1], SETS[3]]
    silent = ModelRef(
        pipeline="toy", version=3, model="lr", path="/b/3", digest="d", metrics={}, aliases=()
    )
    assert removable_sets([silent, *known], [silent], [SETS[1]]) == []


class Place:
    """A home with six versions, 1 the champion, each with a training set of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.context: Any = SimpleNamespace(home=home, definition=SimpleNamespace(name="toy"))
        self.sets = Path(home.table("toy", "training_sets"))
        for n in range(1, 7):
            tags = {model_registry.TRAINING_SET: SETS[n]}
            model_registry.register(home, "toy", save_bundle(home, str(n)), {}, {}, tags)
            self.add_set(SETS[n])
        model_registry.promote(home, "toy", 1, "ann", "first")

    def add_set(self, name: str) -> None:
        (self.sets / name / "_delta_log").mkdir(parents=True)
        old = time.time() - 72 * 3600
        os.utime(self.sets / name, (old, old))

    def clean(self, *, dry_run: bool = False, newest: int = 2) -> cleaning.ModelsMaintained:
        retention = ModelRetention(newest=newest)
        return maintain_models(self.context, retention, lambda _: None, dry_run=dry_run)

    def bundles(self) -> list[int]:
        known = model_registry.list_models(self.home, "toy")
        return versions([one for one in known if Path(one.path).exists()])


@pytest.fixture
def place(ready: Home, monkeypatch: pytest.MonkeyPatch) -> Place:
    now = datetime.now(UTC)
    ledger = [
        SimpleNamespace(model_version=3, published_at=now - timedelta(days=29)),
        SimpleNamespace(model_version=2, published_at=now - timedelta(days=31)),
    ]
    monkeypatch.setattr(cleaning, "history", lambda _: ledger)
    return Place(ready)


def test_what_is_not_used_goes_and_says_so_when_asked_for(place: Place) -> None:
    (place.sets.parent.parent.parent / "bundles" / "toy" / "new-123").mkdir()
    (place.sets / "notes").mkdir()
    done = place.clean()
    assert done.bundles_removed == ("lr version 2", "lr version 4")
    assert done.training_sets_removed == (SETS[2], SETS[4])
    assert place.bundles() == [1, 3, 5, 6]
    left = {entry.name for entry in place.sets.iterdir()}
    assert left == {"notes", *(SETS[n] for n in (1, 3, 5, 6))}
    assert (Path(place.home.root) / "bundles" / "toy" / "new-123").exists()
    with pytest.raises(BundleInvalid, match="lr version 2: its bundle was removed by nightscore"):
        model_registry.get(place.home, "toy", 2)
    assert len(model_registry.list_models(place.home, "toy")) == 6
    again = place.clean()
    assert (again.bundles_removed, again.training_sets_removed) == ((), ())


def test_a_dry_run_lists_the_same_and_touches_nothing(place: Place) -> None:
    would = place.clean(dry_run=True)
    assert place.bundles() == [1, 2, 3, 4, 5, 6]
    assert len(list(place.sets.iterdir())) == 6
    assert all(not one.removed_at for one in model_registry.list_models(place.home, "toy"))
    assert place.clean() == would


def test_a_training_set_that_a_training_may_be_reading_stays(place: Place) -> None:
    place.add_set(SETS[8])  # frozen by a training that failed, days ago
    mark_wanted(place.context, SETS[2])
    assert place.clean().training_sets_removed == (SETS[4], SETS[8])


def test_a_training_set_that_is_still_to_be_fitted_or_judged_stays_for_a_month(
    place: Place, tmp_path: Path
) -> None:
    write_set(tmp_path / "rows")
    for n, age, judged in ((8, 10, False), (9, 10, True), (10, 31, False)):
        place.add_set(SETS[n])
        recipe = replace(make_recipe(tmp_path / "rows"), location=str(place.sets / SETS[n]))
        folder = place.home.local_path("trainings", "toy", SETS[n])
        recipe.write(folder)
        then = time.time() - age * 24 * 3600
        os.utime(folder / "recipe.json", (then, then))
        if judged:
            (folder / "verdict.json").write_text("{}")
    edited = place.home.local_path("trainings", "toy", SETS[11])
    edited.mkdir()
    (edited / "recipe.json").write_text("{}")
    removed = place.clean().training_sets_removed
    assert removed == (SETS[2], SETS[4], SETS[9], SETS[10])


def test_a_removal_that_was_killed_is_taken_up_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cleaning.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            place.clean()
    assert place.bundles() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(BundleInvalid, match="was removed"):
        model_registry.get(place.home, "toy", 2)
    assert place.clean().bundles_removed == ("lr version 2", "lr version 4")
    assert place.bundles() == [1, 3, 5, 6]


def test_a_version_that_is_promoted_meanwhile_keeps_its_bundle(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def promoting(*arguments: Any) -> list[ModelRef]:
        model_registry.promote(place.home, "toy", 4, "bob", "after all")
        return removable_bundles(*arguments)

    monkeypatch.setattr(cleaning, "removable_bundles", promoting)
    assert place.clean().bundles_removed == ("lr version 2",)
    assert model_registry.champion(place.home, "toy").version == 4


def test_an_object_store_holds_no_models() -> None:
    remote: Any = SimpleNamespace(home=Home("s3a://b/p"), definition=SimpleNamespace(name="toy"))
    done = maintain_models(remote, ModelRetention(), lambda _: None, dry_run=False)
    assert done.bundles_removed == ()


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_command_cleans_models_after_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dry_run: bool
) -> None:
    asked: list[Any] = []

    def clean(_: object, retention: ModelRetention, __: object, *, dry_run: bool) -> Any:
        asked.append((retention.used_days, dry_run))
        return cleaning.ModelsMaintained(
            bundles_removed=("lr version 2",), training_sets_removed=()
        )

    tables = Maintained(runs_removed=("2026-01-01 r",), tables=("scores",))
    context = SimpleNamespace(home=Home("s3a://b/p"), definition=SimpleNamespace(name="flights"))
    monkeypatch.setattr("jobs.cli.maintain.open_context", lambda *_, **__: nullcontext(context))
    monkeypatch.setattr("jobs.cli.maintain._run_bytes", lambda *_: 2048)
    monkeypatch.setattr("jobs.maintenance.tables.maintain", lambda *_, **__: tables)
    monkeypatch.setattr(cleaning, "maintain_models", clean)
    flags = ["--dry-run"] if dry_run else []
    command = ["maintain", "--pipeline", "flights", "--keep-models", "90", *flags]
    assert cli.main(command) == 0
    told = capsys.readouterr().out.splitlines()
    verb = "would remove" if dry_run else "removed"
    what = "1 runs, 1 bundles, 0 training sets, 0 replaced tables"
    assert told[0] == f"flights: {verb} {what}; 1 tables"
    freed = "would free 0 B now, and 2.0 kB of runs" if dry_run else "freed 0 B"
    assert [line.strip() for line in told[1:3]] == ["2026-01-01 r", "lr version 2"]
    assert told[3].startswith(freed)
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bundles_removed"] == ["lr version 2"]
    assert asked == [(90, dry_run)] * 2
