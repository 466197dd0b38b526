"""What Kubernetes is asked for a fit: a cluster and a request in, a manifest out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dags import _fit_command
from dags._fit_place import JOB, Cluster

RUN = "nightscore/run"
"""Label of a job: the same for all tries of a task in a run."""
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
LEADER, WORKER = "leader", "worker"
CONTAINER = "pytorch"
"""Kubeflow takes no other name."""
RECEIPT = "/dev/termination-log"
"""What a container writes there is in its pod's status when it ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRequest:
    """One try of a fit."""

    pipeline: str
    dag_id: str
    run_id: str
    try_number: int
    arguments: Sequence[str]
    """Of `nightscore-fit`."""
    home: str
    """An absolute path."""
    environment: Mapping[str, str]

    @property
    def run(self) -> str:
        """What all tries of the fit of a run have in common, and those of another home have not."""
        told = "\0".join((self.home, self.dag_id, self.run_id))
        return hashlib.sha256(told.encode()).hexdigest()[:10]

    @property
    def name(self) -> str:
        """The job's name: the same for the same try, whoever asks for it."""
        pipeline = re.sub("[^a-z0-9]+", "-", self.pipeline.lower())[:24].strip("-")
        return f"fit-{pipeline}-{self.run}-{self.try_number}"


def manifest(cluster: Cluster, request: FitRequest) -> dict[str, Any]:
    """Return the job of a request, as the cluster's API takes it."""
    is_job = cluster.kind == JOB
    return {
        "apiVersion": "batch/v1" if is_job else "kubeflow.org/v1",
        "kind": cluster.kind,
        "metadata": {
            "name": request.name,
            "namespace": cluster.namespace,
            "labels": {"app.kubernetes.io/name": "nightscore-fit", RUN: request.run},
            "annotations": {
                "nightscore/dag-id": request.dag_id,
                "nightscore/run-id": request.run_id,
            },
        },
        "spec": (_job if is_job else _pytorch_job)(cluster, request),
    }


def _job(cluster: Cluster, request: FitRequest) -> dict[str, Any]:
    return {
        # Airflow repeats a fit, and knows which failures are worth it. A pod that its node is taken
        # from is not a failure: another one goes on from the checkpoint, once the first has ended.
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                }
            ]
        },
        "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": round(cluster.keep_hours * 3600),
        "template": _pod(
            cluster,
            request,
            LEADER,
            _fit_command.here(cluster.python, cluster.processes_per_pod),
        ),
    }


def _pytorch_job(cluster: Cluster, request: FitRequest) -> dict[str, Any]:
    # Kubernetes fills these in from what Kubeflow's operator adds to the environment.
    command = _fit_command.on_each_of(
        cluster.nodes,
        cluster.python,
        cluster.processes_per_pod,
        "$(RANK)",
        ("$(MASTER_ADDR)", "$(MASTER_PORT)"),
        round(cluster.wait_hours * 3600),
    )
    counts = {"Master": (1, LEADER), "Worker": (cluster.nodes - 1, WORKER)}
    return {
        "nprocPerNode": str(cluster.processes_per_pod),
        "runPolicy": {
            "backoffLimit": 0,
            # What still runs when the leader has ended goes; the leader stays, to be read.
            "cleanPodPolicy": "Running",
            "ttlSecondsAfterFinished": round(cluster.keep_hours * 3600),
        },
        "pytorchReplicaSpecs": {
            replica: {
                "replicas": count,
                "restartPolicy": "Never",
                "template": _pod(cluster, request, role, command),
            }
            for replica, (count, role) in counts.items()
            if count
        },
    }


def _pod(
    cluster: Cluster, request: FitRequest, role: str, command: Sequence[str]
) -> dict[str, Any]:
    is_shared = cluster.processes_per_pod > 1
    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": cluster.volume_claim}}]
    mounts = [{"name": "home", "mountPath": request.home}]
    if is_shared:
        # A container has 64 MB of shared memory, and GPUs of a node meet there.
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 - in a container
    return {
        "metadata": {
            "labels": {
                "app.kubernetes.io/name": "nightscore-fit",
                INSTANCE: request.name,
                COMPONENT: role,
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": cluster.service_account,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": cluster.grace_seconds,
            "nodeSelector": dict(cluster.node_selector),
            "tolerations": [dict(toleration) for toleration in cluster.tolerations],
            "volumes": volumes,
            "containers": [
                {
                    "name": CONTAINER,
                    "image": cluster.image,
                    "command": list(command),
                    "args": [*map(_literal, request.arguments), *_more(cluster)],
                    "env": _variables(cluster, request),
                    "resources": _resources(cluster),
                    "volumeMounts": mounts,
                    "terminationMessagePath": RECEIPT,
                    # Of one that died too early to write there: what it printed last.
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                }
            ],
        },
    }


def _more(cluster: Cluster) -> list[str]:
    # A node that has no GPU after all says so, and does not train for days on its cores.
    device = ["--device=cuda"] if cluster.gpus else []
    return [*device, f"--receipt={RECEIPT}"]


def _variables(cluster: Cluster, request: FitRequest) -> list[dict[str, str]]:
    own = {
        "PYTHONUNBUFFERED": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(max(1, cluster.grace_seconds - 10)),
    }
    told = {**request.environment, **own}
    return [{"name": name, "value": _literal(value)} for name, value in told.items()]


def _resources(cluster: Cluster) -> dict[str, Any]:
    gpus = {cluster.gpu_resource: str(cluster.gpus)} if cluster.gpus else {}
    return {
        "requests": {"cpu": cluster.cpu, "memory": cluster.memory, **gpus},
        "limits": {"memory": cluster.memory, **gpus},
    }


def _literal(value: str) -> str:
    """Return a value that Kubernetes takes as it is: `$(NAME)` would be filled in."""
    return value.replace("$", "$$")
