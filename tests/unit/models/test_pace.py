"""How fast an epoch goes is told while it is under way, and when it ended."""

from __future__ import annotations

import pytest
import torch

from models.fit.run import epoch_text, pace_text
from models.training import pace
from models.training.config import EpochReport, Pace, TrainConfig
from models.training.pace import EpochWatch
from models.training.trainer import train
from models.training.usage import GpuUse, memory_mib
from tests.unit.models.conftest import SIGNATURE, Sets, small


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is: the last of these."""
    times = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: times[-1])
    return times


def test_an_epoch_says_every_half_minute_how_far_it_is(clock: list[float]) -> None:
    said: list[Pace] = []
    watch = EpochWatch(
        epoch=2, before=10, steps=50, batch_size=100, rows=4_950, on_pace=said.append,
        _begun=clock[-1], _said=clock[-1],
    )  # fmt: skip
    for step in range(11, 51):
        clock.append(clock[-1] + 2.0)
        watch.after_step(step)
    assert [told.step for told in said] == [25, 40]
    assert said[0] == Pace(epoch=2, step=25, steps=50, rows_per_second=50.0, seconds_left=50.0)
    assert watch.rows_per_second(50) == pytest.approx(4_000 / 80)
    whole = EpochWatch(epoch=1, before=0, steps=50, batch_size=100, rows=4_950, _begun=clock[-1])
    clock.append(clock[-1] + 10.0)
    assert whole.rows_per_second(50) == pytest.approx(495), "the last batch is a short one"


def test_both_are_told_in_one_line() -> None:
    told = Pace(epoch=2, step=1_200, steps=4_000, rows_per_second=51_234.0, seconds_left=70.4)
    assert pace_text(told) == (
        "epoch 2: step 1,200 of 4,000, 51,234 rows/s, about 70 s left"
    )  # fmt: skip
    report = EpochReport(
        epoch=3, train_loss=0.4, auc=0.8, logloss=0.3, learning_rate=1e-4, seconds=12.0,
        is_best=True, rows_per_second=2_000.4, memory_mib=1_234.5, gpu_percent=91.6,
    )  # fmt: skip
    assert epoch_text(report) == (
        "epoch 3: train loss 0.4000, validation AUC 0.8000, logloss 0.3000, 12.0 s, 2,000 rows/s, "
        "rate 0.0001, 1,234 MiB, GPU 92 %, best so far"
    )


def test_a_training_reports_its_speed_and_memory(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PACE_SECONDS", 0.0)
    paces: list[Pace] = []
    config = TrainConfig(epochs=2, batch_size=256, device="cpu")
    trained = train(
        "lr", small("lr"), SIGNATURE, sets.train, sets.valid, config, on_pace=paces.append
    )
    for report in trained.history:
        assert report.rows_per_second * report.seconds >= sets.train.rows
        assert report.memory_mib > 50
        assert report.gpu_percent is None
    steps = paces[0].steps
    assert [(told.epoch, told.step) for told in paces] == [
        (epoch, step) for epoch in (1, 2) for step in range(1, steps + 1)
    ]
    assert paces[steps - 1].seconds_left == 0


def test_without_a_gpu_nothing_is_seen_of_it() -> None:
    use = GpuUse(torch.device("cpu"))
    use.look()
    assert use.mean() is None
    assert memory_mib(torch.device("cpu")) > 50


def test_a_gpu_is_as_busy_as_it_was_seen_since_the_last_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = iter([80, 90, 10])
    monkeypatch.setattr(torch.cuda, "utilization", lambda _: next(seen))
    use = GpuUse(torch.device("cuda"))
    use.look()
    use.look()
    assert use.mean() == 85
    use.look()
    assert use.mean() == 10
    monkeypatch.setattr(torch.cuda, "utilization", _without_library)
    use.look()
    assert use.mean() is None


def _without_library(_: torch.device) -> int:
    raise ModuleNotFoundError("pynvml does not seem to be installed")
