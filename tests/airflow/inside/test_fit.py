"""Where a model is fitted is what the connection `nightscore_fit` says, and no DAG."""

from __future__ import annotations

import copy
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from dags._fit_here import Fit
from dags._fit_manifest import FitRequest, manifest
from dags._fit_place import Cluster, Here, from_connection
from tests.airflow.inside.conftest import ROOT, Parsed

K8S = ROOT / "infra" / "k8s"
EXAMPLE = json.loads((K8S / "fit_connection.json").read_text())
FAKE = ROOT / "tests" / "airflow" / "fake_fit.py"
NEEDED = {"namespace": "n", "image": "i", "volume_claim": "c"}
DONE = {"steps": {}, "fit": {"bundle": "b"}}

# What Kubeflow's v1 names, above the pod's template, which is Kubernetes' own.
PYTORCH_JOB = {"apiVersion", "kind", "metadata", "spec"}
SPEC = {"runPolicy", "elasticPolicy", "pytorchReplicaSpecs", "nprocPerNode"}
RUN_POLICY = {
    "cleanPodPolicy", "ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit",
    "schedulingPolicy", "suspend", "managedBy",
}  # fmt: skip
REPLICA = {"replicas", "template", "restartPolicy"}


def connect(patch: pytest.MonkeyPatch, host: str, **extra: Any) -> None:
    connection = {"conn_type": "generic", "host": host, "extra": extra}
    patch.setenv("AIRFLOW_CONN_NIGHTSCORE_FIT", json.dumps(connection))


def request(**more: Any) -> FitRequest:
    usual = {
        "pipeline": "shop_ads", "dag_id": "train_shop_ads", "run_id": "scheduled__2013-12-10",
        "try_number": 1, "arguments": ["--pipeline=shop_ads", "--training=x", "--json"],
        "home": "/warehouse", "environment": {"NIGHTSCORE_HOME": "/warehouse"},
    }  # fmt: skip
    return FitRequest(**{**usual, **more})


def as_kubernetes_takes_it(content: dict[str, Any], kind: str) -> Any:
    """Return what is left of an object by Kubernetes' own model of it, unknown fields dropped."""
    from kubernetes.client import ApiClient

    client = ApiClient()
    read = client.deserialize(SimpleNamespace(data=json.dumps(content)), kind)
    return client.sanitize_for_serialization(read)


def container(content: dict[str, Any]) -> dict[str, Any]:
    (found,) = content["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_example_is_a_cluster_and_its_accounts_and_claims_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTSCORE_FIT", json.dumps(EXAMPLE))
    place = from_connection()
    assert isinstance(place, Cluster)
    assert place.gpus == 1
    assert f"name: {place.service_account}\n" in (K8S / "fit.yaml").read_text()
    assert f"name: {place.volume_claim}\n" in (K8S / "home.yaml").read_text()
    assert f"namespace: {place.namespace}\n" in (K8S / "kustomization.yaml").read_text()


def test_this_machine_is_a_process_unless_more_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(monkeypatch, "local")
    assert from_connection() == Here()
    connect(monkeypatch, "local", processes=4, device="cuda")
    assert from_connection() == Here(processes=4, device="cuda")


@pytest.mark.parametrize(
    ("host", "extra", "told"),
    [
        ("gpu", {}, "host='gpu': must be local or kubernetes"),
        ("local", {"processes": 0}, "processes=0: must be a whole number, at least 1"),
        ("local", {"processes": "2"}, "processes='2': must be a whole number"),
        ("local", {"gpus": 1}, "extra has gpus: it takes device, processes, python"),
        ("kubernetes", {}, "extra lacks image, namespace, volume_claim"),
        ("kubernetes", {**NEEDED, "image": ""}, "image='': must be a text"),
        ("kubernetes", {**NEEDED, "kind": "Pod"}, "kind='Pod': must be Job or PyTorchJob"),
        ("kubernetes", {**NEEDED, "nodes": 2}, "nodes=2: a Job is one pod; kind=PyTorchJob"),
        ("kubernetes", {**NEEDED, "gpus": True}, "gpus=True: must be a whole number"),
        ("kubernetes", {**NEEDED, "wait_hours": 0}, "wait_hours=0: must be a number above 0"),
        ("kubernetes", {**NEEDED, "wait_hours": "24"}, "wait_hours='24': must be a number"),
        ("kubernetes", {**NEEDED, "node_selector": ["x"]}, "node_selector: must be an object"),
        ("kubernetes", {**NEEDED, "tolerations": ["x"]}, "tolerations: must be a list of objects"),
        ("kubernetes", {**NEEDED, "node_selctor": {}}, "extra has node_selctor: it takes cpu"),
    ],
)
def test_a_connection_that_cannot_work_is_refused_by_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, host: str, extra: dict[str, Any], told: str
) -> None:
    connect(monkeypatch, host, **extra)
    with pytest.raises(AirflowFailException) as refused:
        from_connection()
    assert str(refused.value).startswith("connection nightscore_fit: ")
    assert told in str(refused.value)


def test_a_connection_that_is_missing_is_an_error(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NIGHTSCORE_FIT", raising=False)
    with pytest.raises(AirflowException, match="nightscore_fit"):
        from_connection()


@pytest.mark.parametrize("more", [{}, {"gpus": 0}, {"gpus": 8}, {"gpus": 1, "processes": 3}])
def test_a_job_has_no_field_that_kubernetes_does_not_know(more: dict[str, Any]) -> None:
    extra = {key: value for key, value in EXAMPLE["extra"].items() if key != "in_cluster"}
    made = manifest(Cluster(**{**extra, **more}), request())
    assert as_kubernetes_takes_it(made, "V1Job") == made
    gpus = more.get("gpus", 1)
    (limits,) = [container(made)["resources"]["limits"]]
    assert limits.get("nvidia.com/gpu") == (str(gpus) if gpus else None)
    assert ("--device=cuda" in container(made)["args"]) is bool(gpus)
    shared = [volume["name"] for volume in made["spec"]["template"]["spec"]["volumes"]]
    processes = more.get("processes") or max(1, gpus)
    assert ("shm" in shared) is (processes > 1)


def test_the_check_of_fields_sees_one_that_is_unknown() -> None:
    made = manifest(Cluster(**NEEDED), request())
    made["spec"]["template"]["spec"]["gracePeriod"] = 3
    assert as_kubernetes_takes_it(made, "V1Job") != made


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_pytorch_job_has_only_fields_of_kubeflow_and_pods_of_kubernetes(nodes: int) -> None:
    place = Cluster(**NEEDED, kind="PyTorchJob", nodes=nodes, gpus=4)
    made = manifest(place, request())
    assert set(made) == PYTORCH_JOB
    assert (made["apiVersion"], made["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert set(made["spec"]) <= SPEC
    assert set(made["spec"]["runPolicy"]) <= RUN_POLICY
    replicas = made["spec"]["pytorchReplicaSpecs"]
    counts = {name: replica["replicas"] for name, replica in replicas.items()}
    assert counts == {"Master": 1, **({"Worker": nodes - 1} if nodes > 1 else {})}
    for replica in replicas.values():
        assert set(replica) <= REPLICA
        template = replica["template"]
        assert as_kubernetes_takes_it(template, "V1PodTemplateSpec") == template
        (one,) = template["spec"]["containers"]
        assert one["name"] == "pytorch", "Kubeflow takes no other"
        assert f"--nnodes={nodes}" in one["command"]
        assert {"--nproc-per-node=4", "--node-rank=$(RANK)"} <= set(one["command"])
        assert "--rdzv-conf=timeout=86400" in one["command"], "nodes come hours apart"


def test_a_job_stops_softly_goes_on_elsewhere_and_is_read_when_it_ends() -> None:
    place = Cluster(**NEEDED, grace_seconds=600, keep_hours=2)
    made = manifest(place, request())
    spec = made["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 600
    assert spec["restartPolicy"] == "Never"
    assert (made["spec"]["backoffLimit"], made["spec"]["ttlSecondsAfterFinished"]) == (0, 7200)
    assert made["spec"]["podReplacementPolicy"] == "Failed", "never two fits in one folder"
    one = container(made)
    assert one["args"][-1] == f"--receipt={one['terminationMessagePath']}"
    told = {each["name"]: each["value"] for each in one["env"]}
    assert told["NIGHTSCORE_HOME"] == "/warehouse"
    assert told["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "590"
    assert one["volumeMounts"][0] == {"name": "home", "mountPath": "/warehouse"}


def test_nothing_that_is_told_is_filled_in_or_passes_a_shell() -> None:
    told = "--training=$(NIGHTSCORE_HOME); reboot `x` $$"
    made = manifest(Cluster(**NEEDED), request(arguments=[told], environment={"A": "$(B)"}))
    one = container(made)
    assert one["args"][0] == "--training=$$(NIGHTSCORE_HOME); reboot `x` $$$$"
    assert {"name": "A", "value": "$$(B)"} in one["env"]
    assert one["command"] == [
        "/opt/nightscore/.venv-fit/bin/python", "-m", "jobs.training.fit",
    ]  # fmt: skip


def test_a_name_is_one_of_its_try_and_fits_what_kubernetes_takes() -> None:
    import re

    asked = request(pipeline="A_very.long-name" * 9, try_number=999)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", asked.name)
    assert len(f"{asked.name}-worker-100") <= 63
    assert asked.name == request(pipeline="A_very.long-name" * 9, try_number=999).name
    others = [
        request(),
        request(try_number=2),
        request(run_id="x"),
        request(home="/other"),
        request(dag_id="train_other"),
    ]
    assert len({each.name for each in others}) == len(others)
    assert request().run == request(try_number=2).run


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """The stand-in for what fits, on this machine; returns its calls."""
    connect(monkeypatch, "local", python=str(FAKE))
    monkeypatch.setenv("FAKE_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAKE_RECEIPT", json.dumps(DONE))
    return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def fit_task(parsed: Parsed) -> Any:
    task = copy.copy(parsed.dags["train_flights"].get_task("fit"))
    task.arguments = ["--pipeline=flights", "--training=x; reboot", "", "--json"]
    return task


CONTEXT = {"run_id": "manual__2013-12-10", "ti": SimpleNamespace(try_number=3)}


def test_on_this_machine_a_fit_is_a_process_without_spark(
    parsed: Parsed, fake: Callable[[], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert fit_task(parsed).execute(CONTEXT) == DONE
    (call,) = fake()
    assert call["arguments"] == [
        "-m", "jobs.training.fit", "--pipeline=flights", "--training=x; reboot", "--json",
    ]  # fmt: skip
    assert call["env"]["PYTHONPATH"].split(":")[0] == str(ROOT)
    assert "epoch 1" in [record.getMessage() for record in caplog.records]


def test_several_processes_are_torchruns(
    parsed: Parsed,
    fake: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(monkeypatch, "local", python=str(FAKE), processes=2, device="cuda")
    fit_task(parsed).execute(CONTEXT)
    (call,) = fake()
    assert call["arguments"] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "-m", "jobs.training.fit", "--pipeline=flights", "--training=x; reboot", "--json",
        "--device=cuda",
    ]  # fmt: skip
    assert int(call["env"]["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]) >= 60


@pytest.mark.parametrize(
    ("code", "receipt", "kind", "told"),
    [
        ("1", "final", AirflowFailException, "FrozenSetChanged: a file is missing"),
        ("1", "passing", AirflowException, "FrozenSetChanged: a file is missing"),
        ("2", "", AirflowFailException, "ApplicationFailed: the last line"),
        ("1", "", AirflowException, "ApplicationFailed: the last line"),
    ],
)
def test_a_fit_that_fails_is_told_by_its_receipt_or_its_last_line(
    parsed: Parsed,
    fake: object,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    receipt: str,
    kind: type[Exception],
    told: str,
) -> None:
    failure = {
        "step": "", "error": "FrozenSetChanged", "text": "a file is missing",
        "final": receipt == "final",
    }  # fmt: skip
    left = json.dumps({"steps": {}, "failure": failure}) if receipt else ""
    monkeypatch.setenv("FAKE_RECEIPT", left)
    monkeypatch.setenv("FAKE_CODE", code)
    with pytest.raises(AirflowException) as failed:
        fit_task(parsed).execute(CONTEXT)
    assert type(failed.value) is kind
    assert str(failed.value) == told


def test_a_fit_whose_task_is_killed_is_asked_to_stop_and_may_be_repeated(
    fake: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAKE_WAITS", "1")
    started = threading.Event()

    class Listens(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "epoch 1":
                started.set()

    caplog.set_level(logging.INFO)
    listener = Listens()
    logging.getLogger("dags._fit_here").addHandler(listener)
    fit, came = Fit(Here(python=str(FAKE)), []), []
    thread = threading.Thread(target=lambda: came.append(fit.run()))
    fit.kill()  # before it began: nothing to stop
    thread.start()
    try:
        assert started.wait(60)
        fit.kill()
        thread.join(60)
    finally:
        logging.getLogger("dags._fit_here").removeHandler(listener)
    (receipt,) = came
    assert (receipt["failure"]["error"], receipt["failure"]["final"]) == ("Stopped", False)
    fit.kill()  # after its end: nothing to stop


def test_in_a_cluster_the_task_waits_in_the_triggerer_with_the_job_of_its_try(
    parsed: Parsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, "kubernetes", **{**EXAMPLE["extra"], "wait_hours": 48})
    monkeypatch.setenv("NIGHTSCORE_HOME", "/warehouse")
    monkeypatch.setenv("NIGHTSCORE_ALERT_URL", "https://secret")
    with pytest.raises(TaskDeferred) as deferred:
        fit_task(parsed).execute(CONTEXT)
    trigger = deferred.value.trigger
    assert (trigger.wait_hours, deferred.value.timeout) == (48, None)
    assert deferred.value.method_name == "take"
    made = trigger.manifest
    assert made["metadata"]["name"].endswith("-3")
    assert container(made)["args"][:3] == [
        "--pipeline=flights", "--training=x; reboot", "--json",
    ]  # fmt: skip
    assert "secret" not in json.dumps(made)
    json.dumps(trigger.serialize())


@pytest.mark.parametrize("home", ["", "warehouse", "s3a://bucket/home"])
def test_a_home_that_pods_cannot_mount_is_refused(
    parsed: Parsed, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    connect(monkeypatch, "kubernetes", **NEEDED)
    monkeypatch.setenv("NIGHTSCORE_HOME", home)
    with pytest.raises(AirflowFailException, match="must be an absolute path"):
        fit_task(parsed).execute(CONTEXT)


def test_a_password_is_not_written_into_a_manifest(
    parsed: Parsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, "kubernetes", **NEEDED)
    monkeypatch.setenv("NIGHTSCORE_HOME", "/warehouse")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:secret@host")
    with pytest.raises(AirflowFailException, match="MLFLOW_TRACKING_URI holds a password"):
        fit_task(parsed).execute(CONTEXT)


def test_what_the_cluster_left_is_the_tasks_result_or_error(parsed: Parsed) -> None:
    task = fit_task(parsed)
    assert task.take({}, DONE) == DONE
    for final, kind in ((True, AirflowFailException), (False, AirflowException)):
        failure = {"step": "", "error": "NoNode", "text": "waited", "final": final}
        with pytest.raises(AirflowException, match="NoNode: waited") as failed:
            task.take({}, {"steps": {}, "failure": failure})
        assert type(failed.value) is kind
