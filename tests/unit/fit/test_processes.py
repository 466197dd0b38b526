"""Two processes of torchrun fit as one does, stop together and go on together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import ConfigInvalid, LeaderFailed, OutOfMemory
from models.fit.recipe import FitRecipe
from models.fit.run import fit
from models.ranker import Ranker
from models.training.distributed import Group
from models.training.loop import Run

ROOT = Path(__file__).resolve().parents[3]
TOLERANCE = 0.03
"""Logloss of two processes against one, epoch by epoch, on 600 validation rows of 2400 learned."""

WORKER = """
import json, os, sys, time
from models.training.loop import Run
step, end = Run.take_step, Run._end_epoch
def slow(self, *rows):
    time.sleep(float(os.environ.get("SLOW", "0")))
    return step(self, *rows)
def told(self, *rest):
    end(self, *rest)
    if self.group.leads:
        report = self.history[-1]
        print("EPOCH", report.train_loss, report.logloss, os.getpid(), file=sys.stderr, flush=True)
    elif self.epoch == 2:
        print("OTHER", os.getpid(), file=sys.stderr, flush=True)
Run.take_step, Run._end_epoch = slow, told
from jobs.training.fit import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a fit of so many processes."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    def started(processes: int, folder: Path, *more: str, slow: float = 0) -> subprocess.Popen[str]:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "NIGHTSCORE_CORES": "1", "SLOW": str(slow)
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, *torchrun, str(script), str(folder), "--json", *more],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return started


def curve(said: str) -> np.ndarray:
    """(epochs, 2): loss of training and logloss of validation."""
    lines = [line.split()[1:3] for line in said.splitlines() if line.startswith("EPOCH")]
    return np.array(lines, float)


def read_until(running: subprocess.Popen[str], start: str) -> str:
    assert running.stderr is not None
    said = []
    for line in running.stderr:
        if line.startswith(start):
            return line
        said.append(line)
    raise AssertionError(f"it never said {start}, but {''.join(said)}")


@pytest.mark.slow
@pytest.mark.parametrize("is_sparse", [False, True])
def test_one_and_two_processes_have_the_same_loss_curve(
    recipe: FitRecipe,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    is_sparse: bool,
) -> None:
    recipe = replace(recipe, train={**recipe.train, "sparse_gradients": is_sparse})
    curves = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        recipe.write(folder)
        with start(processes, folder) as running:
            out, said = running.communicate(timeout=300)
        assert running.returncode == 0, said
        assert json.loads(out)["reused"] is False
        curves.append(curve(said))
    assert curves[0].shape == curves[1].shape == (3, 2)
    assert np.abs(curves[0] - curves[1]).max() < TOLERANCE
    assert curves[0][-1, 0] < curves[0][0, 0] - TOLERANCE / 3  # it does learn


@pytest.mark.slow
def test_two_processes_that_are_stopped_go_on_to_the_bit(
    recipe: FitRecipe, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    digests = []
    for name in ("whole", "stopped"):
        folder = tmp_path / name
        recipe.write(folder)
        if name == "stopped":
            with start(2, folder, slow=0.1) as running:
                read_until(running, "EPOCH")
                time.sleep(0.5)
                running.send_signal(signal.SIGTERM)
                said = running.communicate(timeout=120)[1]
            assert "stopped by SIGTERM in epoch 2 after step" in said
            assert (folder / "checkpoint.json").is_file()
            with start(1, folder) as running:
                said = running.communicate(timeout=120)[1]
            assert "was taken with processes=2, this training has 1" in said
        with start(2, folder) as running:
            out, said = running.communicate(timeout=300)
        assert running.returncode == 0, said
        digests.append(json.loads(out)["digest"])
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_when_a_process_dies_the_other_ends_soon_and_says_so(
    training: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    with start(2, training, slow=0.1) as running:
        pid = int(read_until(running, "OTHER").split()[1])
        died = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        said = running.communicate(timeout=120)[1]
    assert running.returncode != 0
    assert time.monotonic() - died < 60
    assert "nightscore-fit: process 0 of the training lost another one" in said
    assert not (training / "bundle").exists()


@pytest.mark.slow
def test_what_the_leader_refuses_is_said_once(
    training: Path, frozen_set: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    (frozen_set / "split=train" / "part-00000.parquet").unlink()
    with start(2, training) as running:
        said = running.communicate(timeout=120)[1]
    assert running.returncode != 0
    assert said.count("nightscore-fit: frozen file ") == 1
    assert 'Traceback (most recent call last):\n  File "' + str(ROOT) not in said


def test_what_the_leader_raised_all_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, other = (Group(device=torch.device("cpu"), rank=r, size=2) for r in (0, 1))
    sent: list[np.ndarray] = []

    def share(self: Group, arrays: list[np.ndarray] | None, _: object) -> list[np.ndarray]:
        sent.extend(arrays or [])
        return sent

    def refused() -> None:
        raise ConfigInvalid("train", "device", "x", "no")

    monkeypatch.setattr(Group, "share_arrays", share)
    with pytest.raises(ConfigInvalid) as told:
        leader.lead(refused)
    with pytest.raises(LeaderFailed) as heard:
        other.lead(lambda: pytest.fail("only the leader does it"))
    assert str(heard.value) == str(told.value)
    sent.clear()
    assert (leader.lead(lambda: 7), other.lead(lambda: 7)) == (7, None)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried"),
     RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")],
)  # fmt: skip
def test_memory_that_runs_out_is_told_with_sizes_and_what_to_lower(
    recipe: FitRecipe, training: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Ranker, "loss", fail)
    said = r"out of memory on cpu, with batch_size=200 and an embedding table of 26 rows x 4"
    with pytest.raises(OutOfMemory, match=rf"{said}.*Lower batch_size .*embedding_dim"):
        fit(recipe, training)
    assert "bundle" not in {path.name for path in training.iterdir()}


def test_any_other_error_stays_what_it_is(
    recipe: FitRecipe, training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Run, "take_step", fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit(recipe, training)
