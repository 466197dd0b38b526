"""A fit tells whoever started it what came of it, and whether a repeat may help."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from feature_store.home import Home
from jobs.registry.trainings import give_name, training_folder
from jobs.training import fit as fitting
from jobs.training.receipt import LENGTH, leave_failure, leave_result
from models.errors import FrozenSetChanged, ProcessLost, Stopped
from models.fit.recipe import FitRecipe


@pytest.fixture
def named(
    training: Path, recipe: FitRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A name under which the training is found below the home."""
    home = Home.of(tmp_path / "home")
    shutil.copytree(training, training_folder(home, "toy", recipe.key))
    give_name(home, "toy", "autumn", recipe.key)
    monkeypatch.setenv("NIGHTSCORE_HOME", home.root)
    return "autumn"


def test_a_fit_by_name_makes_its_bundle_and_says_where(
    named: str, recipe: FitRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.touch()  # as a cluster mounts it
    arguments = ["--pipeline=toy", f"--training={named}", "--json", "--receipt", str(receipt)]
    assert fitting.main(arguments) == 0
    told = json.loads(receipt.read_text())
    assert told == {"steps": {}, "fit": json.loads(capsys.readouterr().out)}
    place = Path(told["fit"]["bundle"])
    assert place == tmp_path / "home" / "trainings" / "toy" / recipe.key / "bundle"
    assert place.is_dir()


def test_a_training_that_is_not_there_is_final(
    named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = tmp_path / "receipt.json"
    arguments = ["--pipeline=toy", "--training=winter", "--receipt", str(receipt)]
    assert fitting.main(arguments) == 2
    failure = json.loads(receipt.read_text())["failure"]
    assert (failure["error"], failure["final"]) == ("UsageError", True)
    assert "training='winter' does not exist" in failure["text"]
    assert "nightscore-fit: toy: training='winter'" in capsys.readouterr().err


def test_what_no_one_foresaw_is_told_and_may_pass(
    training: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fitting, "fit_here", full)
    receipt = tmp_path / "receipt.json"
    with pytest.raises(OSError, match="No space left"):
        fitting.main([str(training), "--receipt", str(receipt)])
    failure = json.loads(receipt.read_text())["failure"]
    assert (failure["error"], failure["final"]) == ("OSError", False)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (Stopped(""), False),
        (ProcessLost(1, "gone"), False),
        (FrozenSetChanged("a", "is missing"), True),
    ],
)
def test_whether_a_repeat_may_help_is_told(tmp_path: Path, error: Exception, final: bool) -> None:
    leave_failure(tmp_path / "r", error)
    assert json.loads((tmp_path / "r").read_text())["failure"]["final"] is final


def test_the_process_that_failed_first_says_why(tmp_path: Path) -> None:
    leave_failure(tmp_path / "r", FrozenSetChanged("a.parquet", "is missing"))
    leave_failure(tmp_path / "r", ProcessLost(0, "connection closed"))
    assert json.loads((tmp_path / "r").read_text())["failure"]["error"] == "FrozenSetChanged"


def test_a_receipt_is_short_enough_for_a_cluster_and_none_is_asked_of_a_person(
    tmp_path: Path,
) -> None:
    leave_failure(tmp_path / "r", OSError("€" * 10_000))
    assert len((tmp_path / "r").read_bytes()) < 4096
    assert len(json.loads((tmp_path / "r").read_text())["failure"]["text"]) == LENGTH + 1
    leave_failure(None, OSError("x"))
    leave_result(None, {})


@pytest.mark.parametrize(
    "arguments",
    [[], ["--pipeline=toy"], ["--training=x"], ["recipe.json", "--pipeline=toy"]],
    ids=" ".join,
)
def test_a_recipe_or_a_training_is_named_and_not_both(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        fitting.main(arguments)
    assert end.value.code == 2
    assert "name a RECIPE, or a --pipeline and its --training" in capsys.readouterr().err


def test_a_training_is_found_by_its_key_as_well(
    named: str, recipe: FitRecipe, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--pipeline=toy", f"--training={recipe.key}", "--dry-run", "--json"]
    assert fitting.main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["training"], told["does"]) == (recipe.key, "fit")
