"""A fit in a cluster, watched through the real client: the cluster's API is a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dags._fit_manifest import FitRequest, manifest
from dags._fit_place import PYTORCH_JOB
from dags._fit_place import Cluster as Place
from dags._fit_trigger import FitTrigger
from tests.airflow.cluster import UNSCHEDULABLE, Cluster, serving

PLACE = Place(namespace="nightscore", image="fit:1", volume_claim="nightscore-home")
DONE = {"steps": {}, "fit": {"bundle": "/warehouse/b", "digest": "d", "reused": False}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with serving() as cluster:
        monkeypatch.setenv("AIRFLOW_CONN_NIGHTSCORE_FIT", json.dumps(cluster.connection))
        yield cluster


def request(try_number: int = 1, run_id: str = "manual__2013-12-10") -> FitRequest:
    return FitRequest(
        pipeline="flights", dag_id="train_flights", run_id=run_id, try_number=try_number,
        arguments=["--pipeline=flights", "--training=x"], home="/warehouse", environment={},
    )  # fmt: skip


def trigger(asked: FitRequest, place: Place = PLACE, **more: Any) -> FitTrigger:
    watched = {"wait_hours": 24, "poll_seconds": 0.01, **more}
    made = FitTrigger(manifest=manifest(place, asked), **watched)
    path, arguments = made.serialize()
    assert path == "dags._fit_trigger.FitTrigger"
    return FitTrigger(**json.loads(json.dumps(arguments)))  # as the triggerer makes it anew


async def _first(trigger: FitTrigger) -> Any:
    async for event in trigger.run():
        return event.payload


def fitted(trigger: FitTrigger) -> dict[str, Any]:
    """Return the receipt that a trigger ends with."""
    return dict(asyncio.run(asyncio.wait_for(_first(trigger), 60)))


def failure(trigger: FitTrigger) -> dict[str, Any]:
    return dict(fitted(trigger)["failure"])


def stop_when(cluster: Cluster, trigger: FitTrigger, reached: Callable[[], bool]) -> None:
    """Stop a trigger as Airflow does when its task is killed."""

    async def run() -> None:
        task = asyncio.ensure_future(_first(trigger))
        while not reached() and not task.done():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await trigger.on_kill()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_fit_that_waits_long_for_a_node_runs_and_succeeds(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    name, pod = request().name, f"{request().name}-leader-0"
    cluster.steps = [
        lambda: None,
        lambda: cluster.pod(name, hours_ago=23.9) and None,
        lambda: None,
        lambda: cluster.state(pod, waiting={"reason": "ContainerCreating"}),
        lambda: cluster.run(pod, "epoch 1: train loss 0.6"),
        lambda: cluster.print(pod, "epoch 2: train loss 0.5"),
        lambda: cluster.print(pod, "bundle: /warehouse/b"),
        lambda: cluster.end(pod, 0, json.dumps(DONE)),
    ]
    assert fitted(trigger(request())) == DONE
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("dags")]
    assert lines == [
        f"made Job nightscore/{name}",
        f"{name} waits: it has no pod yet",
        f"{name} waits: pod {pod}: Unschedulable: {UNSCHEDULABLE}",
        f"{name} waits: pod {pod}: ContainerCreating",
        "epoch 1: train loss 0.6",
        f"pod {pod} runs",
        "epoch 2: train loss 0.5",
        "bundle: /warehouse/b",
    ]
    assert len(cluster.calls("POST")) == 1
    assert cluster.calls("DELETE") == []


def test_a_fit_that_no_node_takes_in_a_day_is_removed_and_says_why(cluster: Cluster) -> None:
    cluster.steps = [lambda: cluster.pod(request().name, hours_ago=24.1) and None]
    told = failure(trigger(request()))
    assert (told["error"], told["final"]) == ("NoNode", True)
    assert UNSCHEDULABLE in told["text"]
    assert "waited 24 hours" in told["text"]
    assert len(cluster.calls("DELETE")) == 1


def _ends(cluster: Cluster, exit_code: int, said: str, reason: str = "") -> dict[str, Any]:
    pod = f"{request().name}-leader-0"
    cluster.steps = [
        lambda: cluster.pod(request().name) and None,
        lambda: cluster.run(pod),
        lambda: cluster.end(pod, exit_code, said, reason),
    ]
    return failure(trigger(request()))


def _receipt(error: str, final: bool) -> str:
    told = {"step": "", "error": error, "text": "frozen file a: is missing", "final": final}
    return json.dumps({"steps": {}, "failure": told})


@pytest.mark.parametrize(
    ("exit_code", "said", "reason", "error", "text", "final"),
    [
        (1, _receipt("FrozenSetChanged", True), "", "FrozenSetChanged", "is missing", True),
        (143, _receipt("Stopped", False), "", "Stopped", "is missing", False),
        (2, "usage: x\nnightscore-fit: error: no such", "", "ApplicationFailed",
         "error: no such", True),
        (1, "nightscore-fit: recipe r: is not there", "", "ApplicationFailed",
         "recipe r: is not there", False),
        (137, "epoch 1", "OOMKilled", "ApplicationDied", "OOMKilled: exit code 137 of pod", False),
        (1, '"a line of JSON that is no receipt"', "", "ApplicationDied", "a line of JSON", False),
    ],
)  # fmt: skip
def test_a_fit_that_failed_is_told_by_what_its_pod_left(
    cluster: Cluster, exit_code: int, said: str, reason: str, error: str, text: str, final: bool
) -> None:
    told = _ends(cluster, exit_code, said, reason)
    assert (told["error"], told["final"]) == (error, final)
    assert text in told["text"]


def test_a_job_that_failed_without_a_pod_is_told_by_its_controller(cluster: Cluster) -> None:
    pod = f"{request().name}-leader-0"

    def end() -> None:
        cluster.pod(request().name)
        cluster.end(pod, 1)
        del cluster.pods[pod]

    cluster.steps = [end]
    told = failure(trigger(request()))
    assert told["text"] == (
        f"{request().name} failed: BackoffLimitExceeded: Job has reached its limit"
    )


def test_a_job_that_somebody_removed_may_be_repeated(cluster: Cluster) -> None:
    cluster.steps = [lambda: None, lambda: cluster.vanish(request().name)]
    told = failure(trigger(request()))
    assert (told["error"], told["final"]) == ("JobRemoved", False)


def test_a_task_that_is_stopped_stops_its_job_and_the_next_try_waits_until_it_is_gone(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    name, pod = request().name, f"{request().name}-leader-0"
    cluster.steps = [lambda: cluster.pod(name) and None, lambda: cluster.run(pod)]
    stop_when(cluster, trigger(request()), lambda: not cluster.steps)
    assert [path.rpartition("/")[2] for path in cluster.calls("DELETE")] == [name]
    assert "deletionTimestamp" in cluster.jobs[name]["metadata"], "its pod writes a checkpoint"

    again = request(2)
    looks = len(cluster.asked)

    def gone(path: str) -> bool:
        return len(cluster.asked) > looks + 3

    listed = cluster.answer

    def answer(method: str, path: str, query: Any, body: Any) -> Any:
        if gone(path) and name in cluster.jobs:
            cluster.vanish(name)
        return listed(method, path, query, body)

    cluster.answer = answer  # type: ignore[method-assign]
    second = f"{again.name}-leader-0"
    cluster.steps = [
        lambda: cluster.pod(again.name) and None,
        lambda: cluster.end(second, 0, json.dumps(DONE)),
    ]
    assert fitted(trigger(again)) == DONE
    assert f"{name} is being stopped; this one begins when it is gone" in caplog.text


def test_a_retry_finds_the_job_that_still_runs_and_starts_no_second_one(cluster: Cluster) -> None:
    first, pod = request().name, f"{request().name}-leader-0"

    async def lost() -> None:
        """A triggerer that dies tells nobody."""
        task = asyncio.ensure_future(_first(trigger(request())))
        while not any(path.endswith("/pods") for path in cluster.calls("GET")):
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(lost(), 60))
    cluster.pod(first)
    cluster.run(pod)
    cluster.steps = [lambda: None, lambda: cluster.end(pod, 0, json.dumps(DONE))]
    assert fitted(trigger(request(2))) == DONE
    assert len(cluster.calls("POST")) == 1
    # What watches the same try again reads how it ended.
    assert fitted(trigger(request(1))) == DONE
    assert len(cluster.calls("POST")) == 1


def test_a_retry_after_a_failure_starts_a_job_of_its_own_and_other_runs_are_left_alone(
    cluster: Cluster,
) -> None:
    _ends(cluster, 1, "")
    other = request(run_id="scheduled__x")
    names = {request().name, request(2).name, other.name}
    assert len(names) == 3
    for asked in (request(2), other):
        pod = f"{asked.name}-leader-0"
        cluster.steps = [
            lambda name=asked.name: cluster.pod(name) and None,
            lambda pod=pod: cluster.end(pod, 0, json.dumps(DONE)),
        ]
        assert fitted(trigger(asked)) == DONE
    assert set(cluster.jobs) == names


def test_an_api_that_is_gone_for_a_moment_is_waited_for(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    pod = f"{request().name}-leader-0"
    cluster.hang_up(3)
    cluster.steps = [
        lambda: cluster.pod(request().name) and None,
        lambda: cluster.run(pod) or cluster.hang_up(2),
        lambda: cluster.refuses.update(GET=(503, "etcd is away")),
    ]
    real = cluster.answer

    def mended(method: str, path: str, query: Any, body: Any) -> Any:
        was = dict(cluster.refuses)
        found = real(method, path, query, body)
        if was:
            cluster.refuses.clear()
            cluster.steps = [lambda: cluster.end(pod, 0, json.dumps(DONE))]
        return found

    cluster.answer = mended  # type: ignore[method-assign]
    assert fitted(trigger(request())) == DONE
    assert "the cluster does not answer" in caplog.text
    assert len(cluster.jobs) == 1


def test_an_api_that_stays_away_ends_the_wait_and_a_retry_may_help(cluster: Cluster) -> None:
    cluster.hang_up(10**6)
    told = failure(trigger(request(), gone_minutes=0))
    assert (told["error"], told["final"]) == ("ClusterGone", False)
    assert "a retry finds it" in told["text"]


@pytest.mark.parametrize(
    ("method", "status", "told"),
    [
        ("POST", 403, "the cluster refuses to make Job nightscore/fit-flights-"),
        ("POST", 422, "spec.template.spec.containers: Required"),
        ("GET", 401, "the cluster refuses to list jobs: 401"),
    ],
)
def test_what_the_cluster_refuses_is_final(
    cluster: Cluster, method: str, status: int, told: str
) -> None:
    cluster.refuses[method] = (status, "spec.template.spec.containers: Required value")
    refused = failure(trigger(request()))
    assert (refused["error"], refused["final"]) == ("ClusterRefused", True)
    assert told in refused["text"]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"in_cluster": True}, "Service host/port is not set"),
        ({"kube_config_path": "/nowhere/config"}, "Invalid kube-config file"),
        ({"in_cluster": True, "kube_config_path": "/x"}, "mutually exclusive"),
    ],
    ids=str,
)
def test_a_connection_that_says_no_cluster_is_final_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], told: str
) -> None:
    connection = {"conn_type": "generic", "host": "kubernetes", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTSCORE_FIT", json.dumps(connection))
    refused = failure(trigger(request()))
    assert (refused["error"], refused["final"]) == ("ClusterRefused", True)
    assert "connection nightscore_fit says no cluster: " in refused["text"]
    assert told in refused["text"]


def test_a_fit_on_two_nodes_waits_for_both_and_is_told_by_its_leader(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    place = Place(
        namespace="nightscore", image="fit:1", volume_claim="home", kind=PYTORCH_JOB, nodes=2
    )
    name = request().name
    leader, worker = f"{name}-leader-0", f"{name}-worker-0"
    cluster.steps = [
        lambda: cluster.pod(name) and cluster.pod(name, role="worker") and None,
        lambda: cluster.run(leader, "waiting for the others"),
        lambda: cluster.run(worker, "not the leader's"),
        lambda: cluster.end(leader, 0, json.dumps(DONE)),
    ]
    assert fitted(trigger(request(), place)) == DONE
    assert cluster.jobs[name]["kind"] == "PyTorchJob"
    assert all("/apis/kubeflow.org/v1/" in path for path in cluster.calls("POST"))
    assert f"{name} waits: pod {worker}: Unschedulable" in caplog.text
    assert "waiting for the others" in caplog.text
    assert "not the leader's" not in caplog.text
