"""A fit that was killed goes on as if it had not been; what it cannot go on from it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from models.errors import CheckpointInvalid, Stopped
from models.fit.recipe import FitRecipe
from models.fit.run import FitOptions, fit
from models.training.checkpoint import CHECKPOINT, Checkpoints
from models.training.loop import Run
from models.training.stopping import Stop, stopping_at_sigterm

ROOT = Path(__file__).resolve().parents[3]
OFTEN = FitOptions(checkpoint_seconds=0.0)


class Killed(Exception):
    """What stands for a kill in this process."""


def kill_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let training die in the middle of a step, so many steps from now."""
    taken, step = 0, Run.take_step

    def dying(self: Run, *rows: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken > steps:
            raise Killed
        return step(self, *rows)

    monkeypatch.setattr(Run, "take_step", dying)


def changed(recipe: FitRecipe, **train: Any) -> FitRecipe:
    return dataclasses.replace(recipe, train={**recipe.train, **train})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def digest_of(recipe: FitRecipe, folder: Path) -> str:
    made = fit(recipe, folder).bundle
    assert made is not None
    return made.digest


@pytest.mark.parametrize(
    "train",
    [
        {"average": 0.95, "schedule": "cosine", "warmup_steps": 5, "calibration": "platt"},
        *(
            pytest.param(train, marks=pytest.mark.slow)
            for train in (
                {},
                {"optimizer": "lion", "learning_rate": 0.001},
                {"optimizer": "adagrad"},
                {"sparse_gradients": True},
                {"sparse_gradients": True, "optimizer": "adagrad"},
                {"memory_bytes": 0},
            )
        ),
    ],
    ids=lambda train: ",".join(train) or "plain",
)
@pytest.mark.parametrize(
    "steps", [5, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (12, 30))]
)
def test_a_fit_that_was_killed_makes_the_bundle_that_it_would_have_made(
    recipe: FitRecipe, tmp_path: Path, train: dict[str, Any], steps: int
) -> None:
    """12 steps are an epoch: killed within the first, after it, and in the third."""
    recipe = changed(recipe, **train)
    whole = digest_of(recipe, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, steps)
        with pytest.raises(Killed):
            fit(recipe, tmp_path / "killed", OFTEN)
    assert CHECKPOINT in names(tmp_path / "killed")
    assert "bundle" not in names(tmp_path / "killed")
    taken: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        step = Run.take_step
        patch.setattr(Run, "take_step", lambda *a: taken.append(1) or step(*a))  # type: ignore[func-returns-value]
        assert digest_of(recipe, tmp_path / "killed") == whole
    assert len(taken) == 36 - steps
    assert names(tmp_path / "killed") == {"bundle", "epochs.json"}


def test_a_wish_to_stop_ends_after_the_step_with_a_checkpoint(
    recipe: FitRecipe, training: Path, tmp_path: Path
) -> None:
    whole, stop = digest_of(recipe, tmp_path / "whole"), Stop()
    options = FitOptions(stop=stop)

    def on_progress(line: str) -> None:
        if line.startswith("epoch 2"):
            stop.ask()

    with pytest.raises(Stopped, match=r"in epoch 3 after step 1; .*checkpoint\.json holds it"):
        fit(recipe, training, options, on_progress=on_progress)
    assert digest_of(recipe, training) == whole


def test_a_wish_outside_of_training_ends_at_once() -> None:
    with stopping_at_sigterm(), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.fixture
def killed(recipe: FitRecipe, training: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a fit that was killed in its first epoch."""
    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(Killed):
            fit(recipe, training, OFTEN)
    return training


def test_one_checkpoint_is_kept_and_no_draft(killed: Path) -> None:
    (tensors,) = killed.glob("checkpoint-*.safetensors")
    assert names(killed) == {"recipe.json", CHECKPOINT, tensors.name}


def test_a_checkpoint_of_another_recipe_is_refused_and_force_begins_anew(
    recipe: FitRecipe, killed: Path
) -> None:
    other = changed(recipe, learning_rate=0.02)
    with pytest.raises(CheckpointInvalid, match=r"checkpoint\.json: is of another recipe.*--force"):
        fit(other, killed)
    assert not fit(other, killed, FitOptions(force=True)).is_reused
    assert names(killed) == {"recipe.json", "bundle", "epochs.json"}


def test_a_set_that_was_moved_is_gone_on_with(recipe: FitRecipe, killed: Path) -> None:
    moved = Path(recipe.location).rename(killed.parent / "moved")
    assert not fit(dataclasses.replace(recipe, location=str(moved)), killed).is_reused


def test_a_damaged_checkpoint_is_refused(recipe: FitRecipe, killed: Path) -> None:
    (tensors,) = killed.glob("checkpoint-*.safetensors")
    raw = bytearray(tensors.read_bytes())
    raw[-1] ^= 1
    tensors.write_bytes(raw)
    with pytest.raises(CheckpointInvalid, match=r"\.safetensors: sha256 is "):
        fit(recipe, killed)
    tensors.unlink()
    with pytest.raises(CheckpointInvalid, match=r"\.safetensors: cannot be read: No such file"):
        fit(recipe, killed)
    told = json.loads((killed / CHECKPOINT).read_text())
    told["checkpoint"]["numbers"]["step"] += 1
    (killed / CHECKPOINT).write_text(json.dumps(told))
    with pytest.raises(CheckpointInvalid, match="was changed: its digest"):
        fit(recipe, killed)
    (killed / CHECKPOINT).write_text("{")
    with pytest.raises(CheckpointInvalid, match=r"checkpoint\.json: cannot be read"):
        fit(recipe, killed)
    assert "bundle" not in names(killed)


def test_a_checkpoint_of_more_processes_is_refused(recipe: FitRecipe, killed: Path) -> None:
    asked = Checkpoints(folder=killed, training=recipe.identity)
    with pytest.raises(CheckpointInvalid, match="processes=1, this training has 2"):
        asked.load({"processes": 2})


SLOW_STEPS = """
import sys, time
from models.training.loop import Run
step = Run.take_step
def slow(self, *rows):
    time.sleep(0.05)
    return step(self, *rows)
Run.take_step = slow
from jobs.training.fit import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_was_killed_in_an_epoch_is_gone_on_from_to_the_bit(
    recipe: FitRecipe, training: Path, tmp_path: Path, number: signal.Signals
) -> None:
    recipe.write(tmp_path / "whole")
    one = {**os.environ, "PYTHONPATH": str(ROOT), "NIGHTSCORE_CORES": "1"}
    module = [sys.executable, "-m", "jobs.training.fit", "--json"]
    whole = subprocess.run(
        [*module, str(tmp_path / "whole")], env=one, capture_output=True, text=True, check=True
    )
    seconds = "0" if number == signal.SIGKILL else "3600"  # SIGTERM takes one by itself
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_STEPS, str(training), "--checkpoint-seconds", seconds],
        env=one, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("epoch 1"):
                break
        time.sleep(0.2)  # into the second
        running.send_signal(number)
        said = running.stderr.read()
    assert running.returncode == (-9 if number == signal.SIGKILL else 143)
    if number == signal.SIGTERM:
        assert "nightscore-fit: stopped by SIGTERM in epoch 2 after step" in said
        assert said.count("\n") == 1
    told = json.loads((training / CHECKPOINT).read_text())["checkpoint"]["numbers"]
    assert told["epoch"] == 2 and 0 < told["step"] < 12  # noqa: PT018
    resumed = subprocess.run(
        [*module, str(training)], env=one, capture_output=True, text=True, check=True
    )
    assert "epoch 1" not in resumed.stderr
    digests = [json.loads(done.stdout)["digest"] for done in (whole, resumed)]
    assert digests[0] == digests[1]
