"""The metrics say what the counters count, under names that Prometheus' own rules allow."""

import re
from dataclasses import fields

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consuldns.consul.http.unread import UnreadRecord
from consuldns.consul.watch.watcher import WatcherStatistics
from consuldns.forward.forwarder import ForwardCounters
from consuldns.process.metrics import (
    QUERIES,
    WORKER_COUNTERS,
    Figures,
    FiguresCollector,
)
from consuldns.server.handler import Counters


def figures() -> Figures:
    watcher = WatcherStatistics(
        requests={("health/service", "ok"): 3, ("kv", "Denied"): 1},
        connections_open=5,
        connections_busy=4,
        views=9,
        views_followed=2,
        views_kept=3,
        stale_seconds=12.5,
        lists_held=1,
        losses_accepted=2,
        records_skipped=0,
        records_unreadable=[("the zone z", UnreadRecord('key "k"', "line 1: no"))],
        guesses_refused=3,
        is_in_contact=True,
        last_contact_seconds=0.5,
    )
    workers = {
        "queries_udp": 7,
        "queries_tcp": 2,
        "answers\tconsul.\tA\tNXDOMAIN\tudp": 4,
        "entries_success": 5,
        "duration_0": 3,
        "duration_2": 2,
        "duration_20": 1,
        "duration_nanoseconds": 2_000_000_000,
        "size_1": 6,
        "size_octets": 600,
    }
    return Figures(workers, worker_restarts=1, watcher=watcher, is_ready=True)


def text() -> str:
    registry = CollectorRegistry()
    registry.register(FiguresCollector(figures))
    return generate_latest(registry).decode()


def test_values_arrive() -> None:
    lines = text().splitlines()
    assert 'consuldns_dns_requests_total{proto="udp"} 7.0' in lines
    answers = 'proto="udp",rcode="NXDOMAIN",type="A",zone="consul."'
    assert any(
        line.startswith("consuldns_dns_responses_total{") and line.endswith(" 4.0")
        for line in lines
        if set(answers.split(",")) <= set(line.partition("{")[2].partition("}")[0].split(","))
    )
    assert 'consuldns_cache_entries{type="success"} 5.0' in lines
    assert 'consuldns_dns_request_duration_seconds_bucket{le="1.6e-05"} 3.0' in lines
    assert 'consuldns_dns_request_duration_seconds_bucket{le="6.4e-05"} 5.0' in lines
    assert 'consuldns_dns_request_duration_seconds_bucket{le="+Inf"} 6.0' in lines
    assert "consuldns_dns_request_duration_seconds_sum 2.0" in lines
    assert 'consuldns_dns_response_size_bytes_bucket{le="128"} 6.0' in lines
    assert 'consuldns_consul_requests_total{endpoint="health/service",outcome="ok"} 3.0' in lines
    assert "consuldns_worker_restarts_total 1.0" in lines
    assert "consuldns_consul_last_contact_seconds 0.5" in lines


def test_every_counter_of_a_worker_has_a_metric() -> None:
    every = (*fields(Counters), *fields(ForwardCounters))
    counted = {field.name for field in every} - {QUERIES.rstrip("_")}
    assert counted == set(WORKER_COUNTERS)


def test_names_follow_the_rules() -> None:
    for family in text_string_to_metric_families(text()):
        assert re.fullmatch(r"consuldns_[a-z]+(_[a-z]+)*", family.name), family.name
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
