"""Where a model is fitted: what the connection `nightscore_fit` says.

Its host is `local`, this machine, or `kubernetes`. The fields of the dataclasses here are the keys
of its extra; beside them `kubernetes` takes the provider's own keys, which say how the cluster is
reached (`in_cluster`, `kube_config_path`, `kube_config`, `cluster_context`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException

CONNECTION = "nightscore_fit"
JOB, PYTORCH_JOB = "Job", "PyTorchJob"
REACHED_BY = frozenset(
    {
        "cluster_context",
        "disable_tcp_keepalive",
        "disable_verify_ssl",
        "in_cluster",
        "kube_config",
        "kube_config_path",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Here:
    """This machine: a process of its own, or several that torchrun starts."""

    processes: int = 1
    python: str = ""
    """Interpreter of an environment that can fit; the jobs' own by default."""
    device: str = ""
    """auto, cpu or cuda; the recipe's by default."""

    def __post_init__(self) -> None:
        _require_whole(self, "processes", 1)
        _require_text(self, "python", "device")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """A Kubernetes cluster: a `Job` is one pod, a `PyTorchJob` of Kubeflow's one for each node."""

    namespace: str
    image: str
    """Has the environment of a fit (`make .venv-fit`)."""
    volume_claim: str
    """Of the home, which pods and Airflow's workers see by the same path."""
    kind: str = JOB
    nodes: int = 1
    gpus: int = 1
    """Of each pod."""
    processes: int = 0
    """In each pod; as many as it has GPUs, by default."""
    gpu_resource: str = "nvidia.com/gpu"
    cpu: str = "4"
    memory: str = "16Gi"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    service_account: str = "fit"
    python: str = "/opt/nightscore/.venv-fit/bin/python"
    wait_hours: float = 24
    """How long a pod may wait for a node, of a pool that has to grow from nothing say."""
    grace_seconds: int = 300
    """How long a fit that is stopped has for its checkpoint."""
    keep_hours: float = 24
    """How long a job that ended can be looked at in the cluster."""

    def __post_init__(self) -> None:
        _require_text(self, "namespace", "image", "volume_claim", "gpu_resource", "cpu", "memory",
                      "service_account", "python", is_needed=True)  # fmt: skip
        if self.kind not in (JOB, PYTORCH_JOB):
            raise ValueError(f"kind={self.kind!r}: must be {JOB} or {PYTORCH_JOB}")
        for name, least in (("nodes", 1), ("gpus", 0), ("processes", 0), ("grace_seconds", 1)):
            _require_whole(self, name, least)
        for name in ("wait_hours", "keep_hours"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name}={value!r}: must be a number above 0")
        if self.kind == JOB and self.nodes > 1:
            raise ValueError(f"nodes={self.nodes}: a Job is one pod; kind={PYTORCH_JOB} takes more")
        if not isinstance(self.node_selector, Mapping):
            raise ValueError("node_selector: must be an object of labels and their values")
        if not all(isinstance(each, Mapping) for each in self.tolerations):
            raise ValueError("tolerations: must be a list of objects")

    @property
    def processes_per_pod(self) -> int:
        """How many processes share the work in each pod."""
        return self.processes or max(1, self.gpus)


def from_connection() -> Here | Cluster:
    """Return what the connection says.

    Raises:
        AirflowFailException: it names no place, or asks for something that cannot work.
    """
    connection = BaseHook.get_connection(CONNECTION)
    host, extra = connection.host or "", connection.extra_dejson
    try:
        if host == "local":
            return Here(**_known(Here, extra))
        if host == "kubernetes":
            own = {key: value for key, value in extra.items() if key not in REACHED_BY}
            return Cluster(**_known(Cluster, own))
    except ValueError as error:
        raise AirflowFailException(f"connection {CONNECTION}: {error}") from None
    raise AirflowFailException(
        f"connection {CONNECTION}: host={host!r}: must be local or kubernetes"
    )


def _known(place: type[Here | Cluster], extra: Mapping[str, Any]) -> dict[str, Any]:
    fields = {each.name: each for each in dataclasses.fields(place)}
    unknown = sorted(set(extra) - set(fields))
    if unknown:
        raise ValueError(f"extra has {', '.join(unknown)}: it takes {', '.join(sorted(fields))}")
    needed = {
        name
        for name, each in fields.items()
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    }
    missing = sorted(needed - set(extra))
    if missing:
        raise ValueError(f"extra lacks {', '.join(missing)}")
    return dict(extra)


def _require_whole(place: Here | Cluster, name: str, least: int) -> None:
    value = getattr(place, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r}: must be a whole number, at least {least}")


def _require_text(place: Here | Cluster, *names: str, is_needed: bool = False) -> None:
    for name in names:
        value = getattr(place, name)
        if not isinstance(value, str) or (is_needed and not value):
            raise ValueError(f"{name}={value!r}: must be a text")
