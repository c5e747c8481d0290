"""Alert rules: metrics that exist, and an entry of the runbook for each."""

import re
from dataclasses import replace
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consuldns.process.metrics import FiguresCollector
from consuldns.process.sync_child import SyncFigures
from tests.process.test_metrics import figures
from tests.support.consul_agent import REPOSITORY

RULES = REPOSITORY / "deploy/prometheus/alerts.yaml"
RUNBOOK = REPOSITORY / "docs/operations.md"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def exported() -> set[str]:
    """The names of all series of a server with a sync worker."""
    registry = CollectorRegistry()
    of_sync = SyncFigures(is_up=True, restarts=0, last_status=None, report=None)
    registry.register(FiguresCollector(lambda: _with(figures(), of_sync)))
    text = generate_latest(registry).decode()
    return {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }


def _with(found: Any, sync: SyncFigures) -> Any:
    return replace(found, sync=sync)


def test_every_metric_is_exported() -> None:
    used = {name for rule in rules() for name in re.findall(r"consuldns_\w+", rule["expr"])}
    assert len(used) > 8
    assert used <= exported()


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    runbook = RUNBOOK.read_text().split("## Runbook")[1]
    alerts = [rule["alert"] for rule in rules()]
    assert re.findall(r"^\| `(Consuldns\w+)` \|", runbook, re.M) == alerts


def test_every_alert_says_how_severe_it_is_and_what_is_wrong() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
