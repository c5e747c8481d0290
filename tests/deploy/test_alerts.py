"""Alert rules and dashboard: metrics that exist, expressions that Prometheus understands."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consuldns.process.metrics import FiguresCollector
from consuldns.process.sync_child import SyncFigures
from consuldns.sync.metrics import SyncCollector
from tests.meta import metrics_reference
from tests.process.test_metrics import figures
from tests.support.consul_agent import REPOSITORY

RULES = REPOSITORY / "deploy/prometheus/alerts.yaml"
DASHBOARD = REPOSITORY / "deploy/prometheus/dashboard.json"
PROMTOOL = shutil.which("promtool") or str(REPOSITORY / ".cache/prometheus/usr/bin/promtool")
RUNBOOK = REPOSITORY / "docs/operations.md"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def exposition() -> str:
    """The metrics of a server with a sync worker."""
    registry = CollectorRegistry()
    of_sync = SyncFigures(is_up=True, restarts=0, last_status=None, report=None)
    registry.register(FiguresCollector(lambda: _with(figures(), of_sync)))
    registry.register(SyncCollector(SimpleNamespace(worker=None)))
    return generate_latest(registry).decode()


def exported() -> set[str]:
    """The names of all series."""
    return {
        sample.name
        for family in text_string_to_metric_families(exposition())
        for sample in family.samples
    }


def _with(found: Any, sync: SyncFigures) -> Any:
    return replace(found, sync=sync)


def of_dashboard() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".+")


def promtool(*arguments: str, text: str | None = None) -> None:
    """Debian's, which refuses what Prometheus would."""
    found = subprocess.run(
        [PROMTOOL, *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_metric_is_exported() -> None:
    expressions = [*(rule["expr"] for rule in rules()), *of_dashboard()]
    used = {name for each in expressions for name in re.findall(r"consuldns_\w+", each)}
    assert len(used) > 20
    assert used <= exported()


def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", str(RULES))


def test_prometheus_accepts_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    named = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(of_dashboard())]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": named}]}))
    promtool("check", "rules", str(file))


def test_promtool_has_no_complaint_about_the_metrics() -> None:
    promtool("check", "metrics", text=exposition())


def test_the_reference_is_up_to_date() -> None:
    written = (REPOSITORY / "docs/reference/metrics.md").read_text()
    assert written == metrics_reference.document(), metrics_reference.__doc__


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    runbook = RUNBOOK.read_text().split("## Runbook")[1]
    alerts = [rule["alert"] for rule in rules()]
    assert re.findall(r"^\| `(Consuldns\w+)` \|", runbook, re.M) == alerts


def test_every_alert_says_how_severe_it_is_and_what_is_wrong() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
