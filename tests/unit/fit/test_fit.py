"""A fit leaves a whole bundle or none, and finds what an earlier one left."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.finality import is_final
from jobs.training import fit as fitting
from models.errors import (
    AlreadyFitting,
    ConfigInvalid,
    FrozenSetChanged,
    ModelInvalid,
    NonFiniteLoss,
    RecipeInvalid,
)
from models.fit.recipe import FitRecipe, read_recipe
from models.fit.run import FitOptions, fit
from models.ranker import Ranker
from models.scoring import bundle
from models.training.files import held
from tests.frozen import make_recipe

ROOT = Path(__file__).resolve().parents[3]

BLOCKED = ("pyspark", "py4j", "delta", "deltalake", "airflow", "mlflow", "great_expectations",
           "typer", "rich", "pydantic")  # fmt: skip
BLOCK = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the environment of a fit")
sys.meta_path.insert(0, Blocked())
from jobs.training.fit import main
code = main(sys.argv[1:])
found = [name for name in {BLOCKED!r} if name in sys.modules]
assert not found, found
sys.exit(code)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_fit_imports_nothing_of_spark_or_of_the_other_steps(training: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK, str(training), "--json"],
        cwd=ROOT, env={"PATH": "/nowhere", "PYTHONPATH": str(ROOT), "HOME": str(training)},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["model"], told["reused"]) == ("dcnv2", False)
    assert "epoch 1: train loss 0." in done.stderr
    loaded = bundle.load(training / "bundle", told["digest"])
    assert loaded.metrics["auc"] > 0.6
    assert loaded.encoding_digest == "e" * 16


def test_a_fit_that_is_done_is_found_and_force_does_it_again(
    recipe: FitRecipe, training: Path
) -> None:
    made = fit(recipe, training)
    assert made.bundle is not None
    assert names(training) == ["bundle", "epochs.json", "recipe.json"]
    # As another process reads the recipe.
    lines: list[str] = []
    again = fit(read_recipe(training / "recipe.json"), training, on_progress=lines.append)
    assert (again.is_reused, again.bundle) == (True, made.bundle)
    assert lines == [f"fitted before: {training / 'bundle'}; --force fits again"]
    forced = fit(recipe, training, FitOptions(force=True))
    assert (forced.is_reused, forced.bundle) == (False, made.bundle)  # the same to the byte


def test_another_torch_than_where_it_was_frozen_is_told(recipe: FitRecipe, training: Path) -> None:
    lines: list[str] = []
    fit(dataclasses.replace(recipe, torch="2.11.0"), training, on_progress=lines.append)
    assert lines[0].startswith("frozen where torch is 2.11.0, fitted by 2.")


def test_a_bundle_that_was_registered_is_found_where_it_went(
    recipe: FitRecipe, training: Path, tmp_path: Path
) -> None:
    made = fit(recipe, training).bundle
    assert made is not None
    moved = Path(shutil.move(made.path, tmp_path / "elsewhere"))
    told = {"bundle": str(moved), "digest": made.digest, "version": 1}
    (training / "registered.json").write_text(json.dumps(told))
    again = fit(recipe, training)
    assert again.is_reused
    assert again.bundle == bundle.BundleRef(moved, made.digest)


def test_a_bundle_that_was_damaged_is_made_again(recipe: FitRecipe, training: Path) -> None:
    made, lines = fit(recipe, training).bundle, list[str]()
    (training / "bundle" / "weights.safetensors").write_bytes(b"!")
    again = fit(recipe, training, on_progress=lines.append)
    assert (again.is_reused, again.bundle) == (False, made)
    assert "fitted before, but the bundle cannot be used" in lines[0]


def test_the_bundle_of_another_recipe_is_not_taken_for_this_ones(
    recipe: FitRecipe, training: Path
) -> None:
    fit(recipe, training)
    other = dataclasses.replace(recipe, data={**recipe.data, "training_set": "0" * 16})
    with pytest.raises(RecipeInvalid, match="is the bundle of another recipe"):
        fit(other, training)


def test_a_set_that_was_changed_is_not_fitted(
    recipe: FitRecipe, training: Path, frozen_set: Path
) -> None:
    (frozen_set / "split=train" / "part-00001.parquet").unlink()
    with pytest.raises(FrozenSetChanged, match="nothing was fitted"):
        fit(recipe, training)
    assert names(training) == ["recipe.json"]


def test_a_fit_that_fails_leaves_no_bundle(
    recipe: FitRecipe, training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan = float("nan")
    monkeypatch.setattr(Ranker, "loss", lambda self, *rows: self(*rows[:2]).sum() * nan)
    with pytest.raises(NonFiniteLoss):
        fit(recipe, training)
    assert "bundle" not in names(training)


def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(
    recipe: FitRecipe, training: Path, frozen_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    shutil.rmtree(frozen_set)
    with pytest.raises(ConfigInvalid, match="device='cuda': there is no GPU that torch sees"):
        fit(recipe, training, FitOptions(device="cuda"))
    with pytest.raises(ConfigInvalid, match="device='gpu': must be auto, cpu or cuda"):
        fit(recipe, training, FitOptions(device="gpu"))


OWN = """
from models.spec import ModelSpec
from models.zoo.lr import LRConfig, build
OWN = ModelSpec(name="own", module=__name__, config="LRConfig", description="mine")
"""


def test_the_file_of_a_model_of_ones_own_must_be_the_one_that_was_frozen(
    frozen_set: Path, training: Path, tmp_path: Path
) -> None:
    from models import registry

    file = tmp_path / "own.py"
    file.write_text(OWN)
    registry.resolve(f"{file}:OWN")
    recipe = make_recipe(frozen_set, "own", reference=f"{file}:OWN")
    moved = file.rename(tmp_path / "moved.py")
    with pytest.raises(ModelInvalid, match="cannot be read"):
        fit(recipe, training)
    file.write_text(OWN + "# edited\n")
    with pytest.raises(ModelInvalid, match="is not the own that was frozen: the file changed"):
        fit(recipe, training)
    assert not fit(recipe, training, FitOptions(reference=f"{moved}:OWN")).is_reused


def test_other_code_than_the_recipes_is_refused(
    training: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fitting, "model_code", lambda module: "edited")
    assert fitting.main([str(training)]) == 2
    assert "the code that makes dcnv2 is not what it was" in capsys.readouterr().err
    assert names(training) == ["recipe.json"]


def test_a_dry_run_checks_everything_and_fits_nothing(
    training: Path, frozen_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitting.main([str(training), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["does"], told["rows"]["train"]) == ("fit", 2400)
    assert names(training) == ["recipe.json"]
    (frozen_set / "split=eval" / "part-00000.parquet").write_bytes(b"")
    assert fitting.main([str(training), "--dry-run"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("nightscore-fit: frozen file ")
    assert err.count("\n") == 1


def test_the_help_shows_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        fitting.main(["--help"])
    told = capsys.readouterr().out
    assert end.value.code == 0
    assert "torchrun --nproc-per-node 2 -m jobs.training.fit" in told
    assert "exit codes: 0 done" in told


def test_one_fit_at_a_time_in_a_folder_and_a_kill_lets_it_go(training: Path) -> None:
    holding = "import sys; from pathlib import Path; from models.training.files import held\n"
    holding += "with held(Path(sys.argv[1])) as alone: print(alone, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(training)], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with pytest.raises(AlreadyFitting, match="another process is fitting here"):
            fit(read_recipe(training / "recipe.json"), training)
        assert not is_final(AlreadyFitting(training))
        other.kill()
    with held(training) as is_alone:
        assert is_alone
    assert sorted(path.name for path in training.iterdir()) == ["recipe.json"]
