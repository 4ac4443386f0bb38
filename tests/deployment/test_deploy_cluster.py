"""The cluster shape of the chart: valid for Kubernetes and KubeRay, restricted, its settings readable."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml
from chart import CHART, rendered

from twofold.settings.scale import ScaleSection

POD_TEMPLATE = {"type": "object", "required": ["spec"]}
GROUP = {
    "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
    "template": POD_TEMPLATE,
}
RAY_CLUSTER = {
    # The part of ray.io/v1 that the chart uses, after KubeRay's API reference; pods are checked as pods.
    "type": "object",
    "additionalProperties": False,
    "required": ["headGroupSpec"],
    "properties": {
        "rayVersion": {"type": "string"},
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"idleTimeoutSeconds": {"type": "integer"}, "securityContext": {"type": "object"}},
        },
        "headGroupSpec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["template"],
            "properties": {**GROUP, "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}},
        },
        "workerGroupSpecs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["groupName", "template", "maxReplicas", "minReplicas"],
                "properties": {
                    **GROUP,
                    "groupName": {"type": "string"},
                    "replicas": {"type": "integer", "minimum": 0},
                    "minReplicas": {"type": "integer", "minimum": 0},
                    "maxReplicas": {"type": "integer", "minimum": 1},
                },
            },
        },
    },
}


def cluster_values(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHART / "values-cluster.yaml").read_text())
    return {**values, **changes}


@cache
def _manifests() -> list[dict[str, Any]]:
    return list(rendered(cluster_values()))


@pytest.fixture
def manifests() -> list[dict[str, Any]]:
    return deepcopy(_manifests())


def of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod_specs(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Component → its pod, of every kind that makes pods."""
    pods = []
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            pods.append(spec["template"])
        if manifest["kind"] == "CronJob":
            pods.append(spec["jobTemplate"]["spec"]["template"])
        if manifest["kind"] == "RayCluster":
            groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
            pods += [group["template"] for group in groups]
    named = {}
    for number, pod in enumerate(pods):
        named[f"{pod['metadata']['labels']['app.kubernetes.io/component']} {number}"] = pod
    return named


def test_the_cluster_is_valid(manifests: list[dict[str, Any]]) -> None:
    helm = pytest.importorskip("helm_python", reason="Helm's library has no wheel for this machine")
    import kubernetes_validate

    report = helm.lint(str(CHART), cluster_values(), strict=True)
    assert not report["errors"]
    for manifest in manifests:
        if manifest["kind"] == "RayCluster":
            jsonschema.validate(manifest["spec"], RAY_CLUSTER)
        else:
            kubernetes_validate.validate(manifest, "1.33", strict=True)
    for name, pod in pod_specs(manifests).items():
        as_a_pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name.split()[0]}, "spec": pod["spec"]}
        kubernetes_validate.validate(as_a_pod, "1.33", strict=True)
    kinds = {manifest["kind"] for manifest in manifests}
    assert kinds >= {"RayCluster", "StatefulSet", "HorizontalPodAutoscaler", "PodDisruptionBudget", "ConfigMap"}
    assert "PersistentVolumeClaim" not in kinds, "servers of a cluster share no volume"


def test_every_pod_of_the_cluster_is_restricted(manifests: list[dict[str, Any]]) -> None:
    pods = pod_specs(manifests)
    assert len(pods) == 8  # server, two jobs, Ray's head and two groups, engine, database
    for name, pod in pods.items():
        spec = pod["spec"]
        # Ray's autoscaler asks for pods; nothing else speaks to the API.
        assert spec["automountServiceAccountToken"] is name.startswith("ray-head"), name
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
    head = of_kind(manifests, "RayCluster")[0]["spec"]["autoscalerOptions"]["securityContext"]
    assert head["capabilities"]["drop"] == ["ALL"]


def test_settings_of_the_cluster_are_read_by_the_servers(manifests: list[dict[str, Any]]) -> None:
    (settings,) = of_kind(manifests, "ConfigMap")
    scale = ScaleSection.model_validate(tomllib.loads(settings["data"]["twofold.toml"])["scale"])
    assert scale.on == "ray"
    assert all((scale.index, scale.store, scale.database))
    (server,) = of_kind(manifests, "Deployment")
    spec = server["spec"]["template"]["spec"]
    (mounted,) = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "settings"]
    assert mounted["mountPath"] == "/project/twofold.toml"
    assert {"name": "settings", "configMap": {"name": settings["metadata"]["name"]}} in spec["volumes"]
    variables = {entry["name"] for entry in spec["containers"][0]["env"]}
    assert scale.database_password_env in variables
    assert "replicas" not in server["spec"], "the autoscaler decides how many there are"
    assert server["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_addresses_in_the_settings_are_those_of_the_release() -> None:
    """As installed under the name that the settings are written for."""
    helm = pytest.importorskip("helm_python", reason="Helm's library has no wheel for this machine")
    with helm.Chart.load(str(CHART)) as chart:
        templates = chart.render(cluster_values(), name="handbook", namespace="b")
    manifests: list[dict[str, Any]] = []
    for name, text in templates.items():
        if name.endswith(".yaml"):
            manifests += filter(None, yaml.safe_load_all(text))
    settings = of_kind(manifests, "ConfigMap")[0]["data"]["twofold.toml"]
    services = {service["metadata"]["name"] for service in of_kind(manifests, "Service")}
    clusters = {f"{cluster['metadata']['name']}-head-svc" for cluster in of_kind(manifests, "RayCluster")}
    assert services == {"handbook-twofold", "handbook-twofold-chat", "handbook-twofold-postgres"}
    scale = tomllib.loads(settings)["scale"]
    assert scale["address"] == f"ray://{clusters.pop()}:10001"
    assert "@handbook-twofold-postgres:5432/" in scale["database"]
    assert "//handbook-twofold-chat-0.handbook-twofold-chat:8000/v1" in settings


def test_gpus_are_limits_of_engines_and_workers(manifests: list[dict[str, Any]]) -> None:
    gpus = {}
    for name, pod in pod_specs(manifests).items():
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        if "nvidia.com/gpu" in limits:
            gpus[name.split()[0]] = limits["nvidia.com/gpu"]
    assert gpus == {"ray-worker": "1", "chat": "1"}


def test_only_the_servers_port_is_open_to_others(manifests: list[dict[str, Any]]) -> None:
    (policy,) = of_kind(manifests, "NetworkPolicy")
    open_to_all = [rule for rule in policy["spec"]["ingress"] if "from" not in rule]
    assert open_to_all == [{"ports": [{"port": "http"}]}]
    for name, pod in pod_specs(manifests).items():
        ports = [port["name"] for port in pod["spec"]["containers"][0].get("ports", [])]
        assert ("http" in ports) == name.startswith("server"), name


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cluster": {"enabled": True}}, "/cluster/settings"),
        ({"cluster": {"enabled": True, "settings": "[study]"}}, "/cluster/settings"),
        ({"cluster": {"enabled": False}, "replicas": 2}, "/replicas"),
        ({"database": {}}, "/database"),
        ({"ray": {"enabled": True, "version": "", "workers": {}}}, "/ray"),
        ({"ray": {"enabled": True, "version": "2.60.0", "workers": {"a": {"maxReplicas": 1}}}}, "resources"),
        ({"vllm": {"engines": {"chat": {"gpus": 1}}}}, "model"),
    ],
)
def test_what_a_cluster_lacks_is_named(changes: dict[str, Any], named: str) -> None:
    helm = pytest.importorskip("helm_python", reason="Helm's library has no wheel for this machine")
    with pytest.raises(helm.HelmValuesError, match=named):
        list(rendered(cluster_values(**changes)))
