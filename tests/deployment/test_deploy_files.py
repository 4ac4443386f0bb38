"""The files of `deploy/`, each checked by the tool that reads it, or by that tool's own library or schema."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart import CHART, DEPLOY, rendered

EVERYTHING = {
    "arguments": ["--arm", "rag"],
    "database": {"cidrs": ["10.0.0.0/8"], "passwordSecret": "db"},
    "environmentFromSecrets": ["keys"],
    "image": {"pullSecrets": ["registry"], "repository": "registry.example/twofold"},
    "ingress": {
        "annotations": {"a": "b"},
        "className": "nginx",
        "enabled": True,
        "host": "a.example",
        "tlsSecret": "t",
    },
    "metrics": {"keySecret": "key", "serviceMonitor": True},
    "models": {"existingClaim": "models"},
    "networkPolicy": {"egressCidrs": ["192.0.2.0/24"], "enabled": True},
    "nodeSelector": {"a": "b"},
    "podDisruptionBudget": {"enabled": True},
    "project": {"accessMode": "ReadWriteMany", "existingClaim": "project"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
}


def test_the_image_has_no_known_fault() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.is_file():
        pytest.skip("hadolint has no wheel for this machine")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_the_image_copies_only_what_is_not_ignored() -> None:
    ignored = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied: set[str] = set()
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied.update(word.removeprefix("./") for word in line.split()[1:-1])
    assert copied == kept
    assert all((DEPLOY.parent / name).exists() for name in copied)


def test_the_composition_is_valid_and_its_processes_write_to_volumes_alone() -> None:
    import compose_spec

    variable = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}")
    text = variable.sub(lambda match: match[2] or "/srv/a", (DEPLOY / "compose.yaml").read_text())
    services = yaml.safe_load(text)["services"]
    # The parser knows no merge keys of YAML: it is shown what they stand for.
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text))).validate()
    for name in ("server", "worker", "watch"):
        service = services[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert [volume.rpartition(":")[2] for volume in service["volumes"]] == ["/project", "/cache"]
    for service in services.values():
        for source in (volume.partition(":")[0] for volume in service.get("volumes", [])):
            assert not source.startswith("./") or (DEPLOY / source).exists(), source


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["as it is", "everything"])
def test_the_chart_is_valid(values: dict[str, Any]) -> None:
    helm = pytest.importorskip("helm_python", reason="Helm's library has no wheel for this machine")
    import kubernetes_validate

    report = helm.lint(str(CHART), values, strict=True)
    assert not report["errors"]
    assert all(message["severity"] < 2 for message in report["messages"]), report
    kinds = set()
    for manifest in rendered(values):
        kinds.add(manifest["kind"])
        if manifest["kind"] != "ServiceMonitor":  # of the Prometheus operator, whose schema is not Kubernetes' own
            kubernetes_validate.validate(manifest, "1.33", strict=True)
    assert kinds >= {"Deployment", "CronJob", "Service", "NetworkPolicy"}
    assert ("PersistentVolumeClaim" in kinds) == (not values)
    assert ("Ingress" in kinds) == ("ServiceMonitor" in kinds) == ("PodDisruptionBudget" in kinds) == bool(values)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["as it is", "everything"])
def test_every_pod_of_the_chart_is_restricted(values: dict[str, Any]) -> None:
    """As the profile "restricted" of Kubernetes' Pod Security Standards, with a read-only root."""
    pods = []
    for manifest in rendered(values):
        if manifest["kind"] == "Deployment":
            pods.append(manifest["spec"]["template"]["spec"])
        if manifest["kind"] == "CronJob":
            pods.append(manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    assert len(pods) == 3
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 2}, "/replicas"),
        ({"image": {"repositry": "a"}}, "repositry"),
        ({"ingress": {"enabled": True}}, "/ingress/host"),
        ({"metrics": {"serviceMonitor": True}}, "/metrics/keySecret"),
        ({"project": {"size": "twenty"}}, "/project/size"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], named: str) -> None:
    helm = pytest.importorskip("helm_python", reason="Helm's library has no wheel for this machine")
    with pytest.raises(helm.HelmValuesError, match=named):
        list(rendered(values))


def test_the_units_are_valid_and_confined(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed here")
    units = []
    for path in sorted((DEPLOY / "systemd").iterdir()):
        unit = tmp_path / path.name
        # A program that is there: that of the unit is at the place where the operator installs it.
        unit.write_text(path.read_text().replace("/opt/twofold/bin/twofold", "/bin/true"))
        units.append(unit)
    verify = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(verify, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", tmp_path / "twofold.service"]
    done = subprocess.run(security, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
