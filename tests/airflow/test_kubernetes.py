"""What infra/k8s holds is whole, and is what the jobs' environment and image really have."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.airflow.server import ROOT

K8S = ROOT / "infra" / "k8s"


def test_kustomize_makes_one_whole_set_of_manifests() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", K8S], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kinds = [line for line in done.stdout.splitlines() if line.startswith("kind: ")]
    assert sorted(kinds) == [
        "kind: Namespace",
        "kind: PersistentVolumeClaim",
        "kind: ResourceQuota",
        *["kind: Role"] * 3,
        *["kind: RoleBinding"] * 3,
        *["kind: ServiceAccount"] * 3,
    ]
    assert done.stdout.count("namespace: nightscore") >= 7


def test_the_connection_names_the_jars_and_the_account_that_there_are() -> None:
    extra = json.loads((K8S / "connection.json").read_text())["extra"]
    jars = {jar.rpartition("/")[2] for jar in extra["jars"].split(",")}
    assert jars == {path.name for path in (ROOT / ".venv/nightscore/jars").glob("*.jar")}
    claims = {key: value for key, value in extra["conf"].items() if key.endswith(".claimName")}
    assert {key.split(".")[2] for key in claims} == {"driver", "executor"}
    for claim in claims.values():
        assert f"name: {claim}\n" in (K8S / "home.yaml").read_text()
    account = extra["conf"]["spark.kubernetes.authenticate.driver.serviceAccountName"]
    assert f"name: {account}\n" in (K8S / "driver.yaml").read_text()
    assert f"namespace: {extra['namespace']}\n" in (K8S / "kustomization.yaml").read_text()
