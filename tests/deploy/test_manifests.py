"""The chart and the kustomizations: valid for Kubernetes, and true to the program."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from consuldns.cli import main
from consuldns.config.load import load
from consuldns.config.schema import declared
from tests.deploy.manifests import (
    CHART,
    KUSTOMIZE,
    VARIANTS,
    Manifest,
    named,
    pods,
    render_chart,
    render_kustomization,
)

RELEASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "embedded": {"syncCatalog": {"embedded": True}},
    "DNS alone": {"syncCatalog": {"enabled": False}},
    "sync alone": {"dns": {"enabled": False}},
    "node-local": {"dns": {"kind": "DaemonSet", "clusterIP": "10.96.0.53"}},
    "everything": {
        "consul": {
            "address": "https://$(HOST_IP):8501",
            "tokenSecret": {"secretName": "dns-token"},
            "caSecret": {"secretName": "consul-ca"},
        },
        "dns": {
            "tolerations": [{"operator": "Exists"}],
            "nodeSelector": {"a": "b"},
            "priorityClassName": "system-cluster-critical",
        },
        "settings": '[dns]\nrecursors = ["192.0.2.53"]\n',
        "syncCatalog": {
            "k8sAllowNamespaces": ["shop", "web"],
            "consulPrefix": "k8s-",
            "syncClusterIPServices": False,
            "syncLoadBalancerEndpoints": True,
            "nodePortSyncType": "ExternalOnly",
            "ingress": {"enabled": True, "loadBalancerIPs": True},
            "aclSyncToken": {"secretName": "sync-token", "secretKey": "acl"},
            "mode": "both",
            "extraLabels": {"team": "dns"},
            "annotations": {"note": "x"},
        },
        "metrics": {"serviceMonitor": {"enabled": True}},
        "networkPolicy": {"enabled": True},
    },
}
VERSIONS = ("1.25", "1.37")
CUSTOM = ("ServiceMonitor",)  # of the Prometheus operator: no schema of Kubernetes' own


def releases() -> Iterator[Any]:
    for name, values in RELEASES.items():
        yield pytest.param(render_chart(values), id=f"chart: {name}")
    for variant in VARIANTS:
        yield pytest.param(render_kustomization(KUSTOMIZE / variant), id=f"kustomize: {variant}")


every_release = pytest.mark.parametrize("manifests", [*releases()])


@every_release
@pytest.mark.parametrize("version", VERSIONS)
def test_each_is_valid(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


@every_release
def test_no_name_is_used_twice(manifests: list[Manifest]) -> None:
    names = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in manifests
    ]
    assert len(names) == len(set(names))


@every_release
def test_what_pods_refer_to_exists(manifests: list[Manifest]) -> None:
    """Accounts, settings; secrets that the manifests do not make are named by the values."""
    accounts = {e["metadata"]["name"] for e in manifests if e["kind"] == "ServiceAccount"}
    maps = {e["metadata"]["name"] for e in manifests if e["kind"] == "ConfigMap"}
    for pod in pods(manifests):
        assert pod["serviceAccountName"] in accounts
        volumes = {each["name"]: each for each in pod["volumes"]}
        assert {e["configMap"]["name"] for e in volumes.values() if "configMap" in e} <= maps
        for container in pod["containers"]:
            assert {each["name"] for each in container["volumeMounts"]} == set(volumes)


@every_release
def test_pods_are_restricted(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}


def environment(container: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


@every_release
def test_arguments_and_settings_are_the_programs(manifests: list[Manifest], tmp_path: Path) -> None:
    known = {setting.variable for setting in declared().values()}
    known |= {setting.declaration.consul_variable for setting in declared().values()}
    settings = [e for e in manifests if e["kind"] == "ConfigMap" and "consuldns.toml" in e["data"]]
    (config_map,) = settings
    file = tmp_path / "consuldns.toml"
    file.write_text(config_map["data"]["consuldns.toml"])
    assert pods(manifests)
    for pod in pods(manifests):
        (container,) = pod["containers"]
        found = environment(container)
        assert set(found) <= known | {"HOST_IP"}
        result = CliRunner().invoke(main, [*container["args"], "--help"])
        assert result.exit_code == 0
        text = {k: v for k, v in found.items() if not k.endswith(("_FILE", "_CACERT"))}
        loaded = load(file=file, environment=text).settings
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert ports["admin"] == 9153 == loaded.admin_addr.port
        if container["args"] == ["serve"]:
            assert {each.port for each in loaded.listen} == {ports["dns-udp"], ports["dns-tcp"]}


@every_release
def test_services_lead_to_ports_of_their_pods(manifests: list[Manifest]) -> None:
    for service in (each for each in manifests if each["kind"] == "Service"):
        chosen = [
            each
            for each in manifests
            if each["kind"] in ("Deployment", "DaemonSet")
            and service["spec"]["selector"].items()
            <= each["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert len(chosen) == 1
        (container,) = chosen[0]["spec"]["template"]["spec"]["containers"]
        names = {each["name"] for each in container["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= names


NEEDED = {("", "services"), ("discovery.k8s.io", "endpointslices"), ("", "nodes")}
NEEDED |= {("", "namespaces")}


def granted(manifest: Manifest) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in manifest["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_worker_may_read_what_it_lists_and_nothing_else(variant: str) -> None:
    role = named(render_kustomization(KUSTOMIZE / variant), "ClusterRole")
    verbs = ("get", "list", "watch")
    assert granted(role) == {(*each, verb) for each in NEEDED for verb in verbs}


def test_with_namespaces_there_is_a_role_in_each() -> None:
    manifests = render_chart(RELEASES["everything"])
    roles = [each for each in manifests if each["kind"] == "Role"]
    assert [each["metadata"]["namespace"] for each in roles] == ["shop", "web"]
    resources = {resource for _, resource, _ in granted(roles[0])}
    assert resources == {"services", "endpointslices", "ingresses"}
    cluster = {resource for _, resource, _ in granted(named(manifests, "ClusterRole"))}
    assert cluster == {"nodes", "namespaces"}


def test_secrets_are_files() -> None:
    manifests = render_chart(RELEASES["everything"])
    for pod, secret, path in zip(
        pods(manifests), ("dns-token", "sync-token"), ("token", "acl"), strict=True
    ):
        (container,) = pod["containers"]
        found = environment(container)
        assert found["CONSUL_HTTP_TOKEN_FILE"] == f"/etc/consuldns-token/{path}"
        assert found["CONSUL_CACERT"] == "/etc/consuldns-ca/tls.crt"
        named_secrets = {e["secret"]["secretName"] for e in pod["volumes"] if "secret" in e}
        assert named_secrets == {secret, "consul-ca"}


@pytest.mark.parametrize(
    "values",
    [
        {"syncCatalog": {"toK8S": True}},
        {"syncCatalog": {"addK8SNamespaceSuffix": True}},
        {"syncCatalog": {"k8sPrefix": "x"}},
        {"syncCatalog": {"consulNodeName": "k8s-sync"}},
        {"syncCatalog": {"nodePortSyncType": "Any"}},
        {"consul": {"address": "consul:8500"}},
        {"nonsense": 1},
    ],
)
def test_values_without_a_counterpart_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmError):
        render_chart(values)


def test_every_value_is_in_the_schema_and_every_property_has_a_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(properties: dict[str, Any], defaults: dict[str, Any], where: str) -> None:
        assert set(defaults) == set(properties) - {"global"}, where
        for name, each in properties.items():
            if "properties" in each:
                compare(each["properties"], defaults[name], f"{where}.{name}")

    compare(schema["properties"], values, "values")


def test_the_chart_passes_lint() -> None:
    problems = helm_python.lint(CHART)
    assert "ERROR" not in json.dumps(problems)


@pytest.mark.parametrize("folder", sorted(path.parent for path in KUSTOMIZE.glob("*/kust*.yaml")))
def test_every_file_is_used(folder: Path) -> None:
    used = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = {each.name for each in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == {each for each in used if not each.startswith("..")}
