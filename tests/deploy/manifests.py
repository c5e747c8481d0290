"""Renders what is in `deploy/`: the chart by Helm's own library, kustomizations by resources."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

from tests.support.consul_agent import REPOSITORY

CHART = REPOSITORY / "deploy/helm/consuldns"
KUSTOMIZE = REPOSITORY / "deploy/kustomize"
VARIANTS = ("separate", "embedded", "node-local", "cluster-dns")

Manifest = dict[str, Any]


def render_chart(values: dict[str, Any] | None = None) -> list[Manifest]:
    """The chart as release `consuldns`. Raises HelmError for values that it refuses."""
    with Chart.load(CHART) as chart:
        rendered = chart.render(values=values or {}, name="consuldns", namespace="dns")
    return [each for text in _texts(rendered) for each in yaml.safe_load_all(text) if each]


def _texts(rendered: Any) -> Iterator[str]:
    """The manifests, whatever the library wraps them in; notes are not manifests."""
    if isinstance(rendered, str):
        yield rendered
        return
    for name, text in rendered.items():
        if not name.endswith("NOTES.txt"):
            yield from _texts(text)


def render_kustomization(folder: Path) -> list[Manifest]:
    """The resources of a kustomization, which here has nothing else."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(kustomization) == {"apiVersion", "kind", "resources"}
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        if path.is_dir():
            found += render_kustomization(path)
        else:
            found += [each for each in yaml.safe_load_all(path.read_text()) if each]
    return found


def named(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one of a kind (and a name)."""
    (found,) = [
        each
        for each in manifests
        if each["kind"] == kind and name in ("", each["metadata"]["name"])
    ]
    return found


def pods(manifests: list[Manifest]) -> list[Manifest]:
    """The pod templates' specs."""
    kinds = ("Deployment", "DaemonSet")
    return [each["spec"]["template"]["spec"] for each in manifests if each["kind"] in kinds]
