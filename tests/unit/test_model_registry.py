"""Promises of the model registry: one champion, pinned by digest; nothing promoted unverified."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from feature_store.errors import NoChampion, UsageError
from feature_store.home import Home
from jobs.registry import mlflow_client, registry_cache
from jobs.registry import model_registry as registry
from models.errors import BundleInvalid, BundleTampered
from models.scoring.bundle import verify
from tests.unit.conftest import save_bundle


def register(home: Home, weights: str) -> registry.ModelRef:
    return registry.register(
        home, "toy", save_bundle(home, weights), {"eval_auc": 0.7}, {"epochs": 2}, {"code": "1"}
    )


def test_a_registered_bundle_lies_under_its_digest_and_is_found_by_number(ready: Home) -> None:
    ref = register(ready, "a")
    assert (ref.version, ref.model, ref.aliases, ref.metrics) == (1, "lr", (), {"eval_auc": 0.7})
    assert ref.path == ready.path("bundles", "toy", f"lr-{ref.digest[:12]}")
    assert registry.get(ready, "toy", "1") == registry.get(ready, "toy", 1) == ref
    assert sorted(p.name for p in Path(ref.path).parent.iterdir()) == [Path(ref.path).name]


def test_without_a_promotion_there_is_no_champion(ready: Home) -> None:
    with pytest.raises(NoChampion, match="toy: no champion model"):
        registry.champion(ready, "toy")
    register(ready, "a")
    with pytest.raises(NoChampion):
        registry.champion(ready, "toy")


def test_the_same_bundle_keeps_its_version(ready: Home) -> None:
    assert register(ready, "a") == register(ready, "a")
    assert len(registry.list_models(ready, "toy")) == 1


def test_promotion_moves_the_champion_and_ends_the_challenge(ready: Home) -> None:
    first, second = register(ready, "a"), register(ready, "b")
    registry.promote(ready, "toy", first.version, "ann", "first")
    registry.challenge(ready, "toy", second.version)
    assert registry.get(ready, "toy", "challenger").version == 2
    promoted = registry.promote(ready, "toy", second.version, "bob", "better")
    assert promoted == registry.champion(ready, "toy")
    assert [(m.version, m.aliases) for m in registry.list_models(ready, "toy")] == [
        (2, ("champion",)),
        (1, ()),
    ]


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (7, "model version 7 does not exist; there are: 1"),
        ("challenger", "there is no challenger now"),
        ("best", "must be a version number or one of champion, challenger"),
    ],
)
def test_a_version_that_is_not_there_is_named(ready: Home, which: str | int, message: str) -> None:
    register(ready, "a")
    with pytest.raises(UsageError, match=message):
        registry.get(ready, "toy", which)


def test_a_changed_manifest_is_refused_when_looked_up(ready: Home) -> None:
    ref = register(ready, "a")
    registry.promote(ready, "toy", 1, "ann", "first")
    manifest = Path(ref.path, "manifest.json")
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(BundleTampered, match="nothing was loaded"):
        registry.champion(ready, "toy")


def test_a_changed_file_is_never_promoted(ready: Home) -> None:
    registry.promote(ready, "toy", register(ready, "a").version, "ann", "first")
    second = register(ready, "b")
    Path(second.path, "weights.safetensors").write_text("c")
    with pytest.raises(BundleTampered, match=r"weights\.safetensors"):
        registry.promote(ready, "toy", second.version, "eve", "trust me")
    assert registry.champion(ready, "toy").version == 1


def test_a_lost_bundle_is_named_with_the_next_step(ready: Home) -> None:
    ref = register(ready, "a")
    shutil.rmtree(ref.path)
    with pytest.raises(BundleInvalid, match="Restore the bundle, or promote another version"):
        registry.get(ready, "toy", 1)
    assert [m.version for m in registry.list_models(ready, "toy")] == [1]


def test_a_home_that_moved_still_finds_its_models(ready: Home, tmp_path: Path) -> None:
    ref = register(ready, "a")
    registry.promote(ready, "toy", 1, "ann", "first")
    moved = Home.of(tmp_path / "elsewhere")
    shutil.move(ready.root, moved.root)
    assert registry.champion(moved, "toy").path == ref.path.replace(ready.root, moved.root)


def test_looking_for_models_makes_no_database(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert registry.list_models(home, "toy") == []
    with pytest.raises(NoChampion):
        registry.champion(home, "toy")
    assert not Path(home.root).exists()


def test_a_killed_first_start_leaves_no_half_made_database(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def killed(uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_text("half")
        raise KeyboardInterrupt

    killed.cache_clear = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(mlflow_client, "_connect", killed)
    with pytest.raises(KeyboardInterrupt):
        register(home, "a")
    assert [p.name for p in Path(home.root).iterdir()] == ["bundles"]


def test_an_unchanged_registry_is_not_asked_twice(
    ready: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(ready, "a")
    champion = registry.promote(ready, "toy", 1, "ann", "first")

    def asked(*_: object) -> None:
        raise AssertionError("MLflow was asked")

    monkeypatch.setattr(registry, "client", asked)
    assert registry.champion(ready, "toy") == champion


def test_a_change_made_in_mlflow_itself_is_seen_at_once(ready: Home) -> None:
    register(ready, "a")
    register(ready, "b")
    assert registry.promote(ready, "toy", 1, "ann", "first").version == 1
    mlflow = mlflow_client.client(ready)
    mlflow.set_registered_model_alias("nightscore-toy", "champion", "2")
    assert registry.champion(ready, "toy").version == 2


def test_versions_that_others_put_there_are_passed_over(ready: Home) -> None:
    register(ready, "a")
    mlflow_client.client(ready).create_model_version("nightscore-toy", "s3://elsewhere/model")
    assert [m.version for m in registry.list_models(ready, "toy")] == [1]


def test_a_kept_answer_counts_only_while_the_database_is_unchanged(tmp_path: Path) -> None:
    database, kept = tmp_path / "x.db", tmp_path / "cache" / "x.json"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.commit()
        before = registry_cache.stamp(database)
        registry_cache.save(kept, before, {"a": 1})
        assert registry_cache.load(kept, before) == {"a": 1}
        connection.execute("INSERT INTO t VALUES (1)")
        assert registry_cache.stamp(database) is None  # amid a transaction
        connection.commit()
        assert registry_cache.load(kept, registry_cache.stamp(database)) is None
        connection.execute("PRAGMA journal_mode=WAL")
        assert registry_cache.stamp(database) is None
    kept.write_text("half")
    assert registry_cache.load(kept, before) is None
    assert registry_cache.stamp(tmp_path / "none.db") is None


def test_a_broken_bundle_is_mended_by_the_same_one_made_again(ready: Home) -> None:
    ref = register(ready, "a")
    Path(ref.path, "weights.safetensors").write_text("b")
    Path(ref.path, "model.pt2").unlink()
    assert register(ready, "a") == ref
    verify(Path(ref.path), ref.digest)


def test_a_version_says_what_it_was_made_of(ready: Home) -> None:
    tags = {registry.RECIPE: "r" * 16, registry.TRAINING_SET: "s" * 16}
    registry.register(ready, "toy", save_bundle(ready, "a"), {}, {}, tags)
    (ref,) = registry.list_models(ready, "toy")
    assert (ref.recipe, ref.training_set, ref.removed_at) == ("r" * 16, "s" * 16, "")


def test_a_version_whose_bundle_was_removed_says_when_and_is_not_promoted(ready: Home) -> None:
    ref = register(ready, "a")
    registry.mark_removed(ready, "toy", 1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    shutil.rmtree(ref.path)
    for ask in (
        lambda: registry.get(ready, "toy", 1),
        lambda: registry.promote(ready, "toy", 1, "ann", "again"),
    ):
        with pytest.raises(BundleInvalid, match=r"removed by .* at 2026-01-02 03:04:05\+00:00"):
            ask()


def test_the_same_bundle_made_again_after_its_removal_is_a_new_version(ready: Home) -> None:
    ref = register(ready, "a")
    registry.mark_removed(ready, "toy", 1, datetime(2026, 1, 2, tzinfo=UTC))
    shutil.rmtree(ref.path)
    assert register(ready, "a").version == 2
