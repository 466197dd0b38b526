"""Models from outside the package: one file, named on the command line, and no edit elsewhere."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jobs.cli import app as cli
from jobs.training.recipe import recipe_of
from jobs.version import ROOT, model_code
from models import external, registry
from models.errors import ModelInvalid, UnknownModel
from models.training.config import TrainConfig
from models.training.trainer import train
from tests.toy import toy_definition
from tests.unit.models.conftest import SIGNATURE, Sets, sample, save

(EXAMPLE,) = (
    block
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs/models.md").read_text(), re.S)
    if "ModelSpec(" in block
)
FM = """
from dataclasses import dataclass
from models.spec import ModelSpec
from models.zoo import fm

@dataclass(frozen=True)
class Config(fm.FMConfig):
    pass

build = fm.build
OWN = ModelSpec(name="own_fm", module=__name__, config="Config", description="an fm")
"""


@pytest.fixture(autouse=True)
def _forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FROM_FILES", {})


@pytest.fixture
def example(tmp_path: Path) -> str:
    """The example of the docs, as a file."""
    (tmp_path / "neural_fm.py").write_text(EXAMPLE)
    return f"{tmp_path / 'neural_fm.py'}:NEURAL_FM"


def own(folder: Path, code: str = FM) -> str:
    (folder / "own.py").write_text(code)
    return f"{folder / 'own.py'}:OWN"


@pytest.mark.slow
def test_the_example_of_the_docs_is_trained_and_its_bundle_needs_no_file(
    example: str, sets: Sets, tmp_path: Path
) -> None:
    settings = TrainConfig(epochs=3, batch_size=256, learning_rate=0.01, device="cpu")
    recipe = recipe_of(toy_definition(()), model=example, settings=["hidden=16,8"], compiled=False)
    assert (recipe.model, recipe.config.hidden) == ("neural_fm", (16, 8))
    trained = train(recipe.model, recipe.config, SIGNATURE, sets.train, sets.valid, settings)
    assert trained.metrics["auc"] > 0.55
    ref = save(trained, tmp_path / "bundle")
    (tmp_path / "neural_fm.py").unlink()
    score = (
        "import sys, numpy as np; from models.scoring import bundle, predict; "
        "data = np.load(sys.argv[2]); "
        "scores = predict.Predictor(bundle.load(sys.argv[1])).predict(data['k'], data['v']); "
        "print(len(scores), scores.min() >= 0, 'neural_fm' in str(sys.modules))"
    )
    rows = sample(5)
    np.savez(tmp_path / "rows.npz", k=rows.keys, v=rows.values)
    command = [sys.executable, "-c", score, str(ref.path), str(tmp_path / "rows.npz")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "True", "False"]


@pytest.mark.slow
def test_the_example_does_all_that_a_model_must(example: str) -> None:
    """As `make check-model` does it, but for what takes a compiler."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider",
        "-k", "not aoti", "tests/unit/models/test_zoo.py",
    ]  # fmt: skip
    env = {**os.environ, "NIGHTSCORE_TEST_MODEL": example}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "9 passed" in done.stdout


def test_an_edited_file_is_another_model_and_a_comment_is_none(tmp_path: Path) -> None:
    def digest(code: str) -> str:
        return model_code(registry.get(registry.resolve(own(tmp_path, code))).module)

    before = digest(FM)
    assert digest(f"# why\n{FM}") == before
    assert digest(FM.replace("fm.build", "lambda *given: fm.build(*given)")) != before
    assert digest(FM) == before


def test_what_a_file_takes_from_the_zoo_is_part_of_its_code(tmp_path: Path) -> None:
    of_fm = registry.get(registry.resolve(own(tmp_path))).module
    of_lr = FM.replace("zoo import fm", "zoo import lr as fm").replace("FMConfig", "LRConfig")
    other = registry.get(registry.resolve(own(tmp_path, of_lr))).module
    # The second part is the package's own code behind the file.
    assert model_code(of_fm).split()[1] != model_code(other).split()[1]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("OWN = 1", "names no ModelSpec"),
        ("", "names no ModelSpec"),
        ("1 / 0", "running the file failed: ZeroDivisionError: division by zero"),
        ("def (:", "running the file failed: SyntaxError: "),
        ("import no_such_module", "running the file failed: ModuleNotFoundError: "),
        (FM.replace('"own_fm"', '"fm"'), "name='fm': there is a model of that name already"),
        (FM.replace('"own_fm"', '"../up"'), "name='../up': must be small letters, digits and _"),
        (FM.replace('"Config"', '"Confg"'), "has no attribute 'Confg'"),
        (FM.replace("build =", "built ="), "has no attribute 'build'"),
        (FM.replace("fm.build", "3"), "build: is no function"),
        (FM.replace('"Config"', '"fm"'), "config='fm': is no dataclass"),
        (
            FM.replace("(frozen=True)", "").replace("(fm.FMConfig)", ""),
            "config='Config': must be a frozen dataclass",
        ),
        (FM.replace("__name__", '"no_such_module"'), "ModuleNotFoundError: "),
    ],
)
def test_a_file_that_holds_no_model_is_refused_by_name(tmp_path: Path, code: str, why: str) -> None:
    reference = own(tmp_path, code)
    with pytest.raises(ModelInvalid) as refused:
        registry.resolve(reference)
    assert str(refused.value).startswith(f"model {reference}: ")
    assert why in str(refused.value)
    assert refused.value.exit_code == 2
    # Mended, it is taken: nothing of the first attempt is left.
    assert registry.resolve(own(tmp_path)) == "own_fm"


@pytest.mark.parametrize("reference", ["no.py:OWN", "folder.py:OWN"])
def test_the_command_refuses_a_file_that_is_none_before_spark_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    reference: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir()
    arguments = ["train", "--pipeline", "flights", "--from", "2013-01-01", "--to", "2013-02-20"]
    assert cli.main([*arguments, "--eval-to", "2013-02-22", "--model", reference]) == 2
    told = capsys.readouterr().err
    assert f"model {reference}: the file cannot be read: " in told
    assert "start spark" not in told


def test_a_definition_may_name_a_file_and_its_settings_are_that_models(tmp_path: Path) -> None:
    reference, toy = own(tmp_path), toy_definition(())
    training = dataclasses.replace(
        toy.training, model=reference, config=(("embedding_dim", 3),), embedding_l2=0.25
    )
    recipe = recipe_of(dataclasses.replace(toy, training=training), compiled=False)
    assert (recipe.model, recipe.config.embedding_dim) == ("own_fm", 3)
    assert recipe.train.embedding_l2 == 0.25
    other = recipe_of(dataclasses.replace(toy, training=training), model="fm", compiled=False)
    assert (other.config.embedding_dim, other.train.embedding_l2) == (10, None)


def install(folder: Path, entry: str) -> None:
    """Make a package with an entry point, as an installer leaves it."""
    (folder / "our_models").mkdir()
    (folder / "our_models" / "__init__.py").write_text("")
    (folder / "our_models" / "own.py").write_text(FM)
    about = folder / "our_models-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: our-models\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{external.GROUP}]\n{entry}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("our_models", "our_models.own"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    external.of_package.cache_clear()
    return tmp_path


def test_an_installed_packages_model_is_named_like_the_zoos(packages: Path) -> None:
    install(packages, "own_fm = our_models.own:OWN")
    assert "own_fm" in registry.names()
    assert registry.resolve("own_fm") == "own_fm"
    recipe = recipe_of(toy_definition(()), model="own_fm", compiled=False)
    first, second = recipe.to_json()["code"].split()
    assert first != second
    with pytest.raises(UnknownModel, match="own_fm"):
        registry.get("own")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("own_fm = our_models.none:OWN", "cannot be imported: ModuleNotFoundError: "),
        ("own_fm = our_models.own:build", "names no ModelSpec"),
        ("another = our_models.own:OWN", "its spec has another name: own_fm"),
    ],
)
def test_an_installed_package_without_such_a_model_is_refused_by_name(
    packages: Path, entry: str, why: str
) -> None:
    install(packages, entry)
    with pytest.raises(ModelInvalid, match=re.escape(why)):
        registry.get(entry.split()[0])
