"""Random histories against a model: whatever happens, Consul ends up right, and never is wrong.

A round is a few random events of the cluster, in the middle of which something breaks: a worker is
killed, the leader is replaced, Consul is restarted (with or without its state), the API server goes
away, its history is lost, a right is taken away and comes back. Then everything must be exactly as
the model says within 5 seconds. A witness looks at the catalog all the time: an instance that was
healthy before and is healthy after must never be missing in between.

CONSULDNS_MODEL_ROUNDS and CONSULDNS_MODEL_SEED make longer and other histories:
`CONSULDNS_MODEL_ROUNDS=400 pytest tests/kubernetes/test_model.py` kills over 200 workers.
"""

import os
import random
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.kubernetes.api_server import Object
from tests.kubernetes.catalog import keys, leader
from tests.kubernetes.clusters import ScriptedCluster
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.objects import endpoint, service, slice_
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import ConsuldnsProcess

ROUNDS = int(os.environ.get("CONSULDNS_MODEL_ROUNDS", "12"))
SEED = int(os.environ.get("CONSULDNS_MODEL_SEED", "1"))
SETTLE = 5.0  # seconds

NODE = "k8s-kubernetes"
ServiceKey = tuple[str, str]
Place = tuple[str, str, str]
"""Namespace, name and address of an instance."""


@dataclass
class Model:
    """What the cluster has, and what Consul therefore must have."""

    kinds: dict[ServiceKey, str] = field(default_factory=dict)  # vip, headless, external
    ready: dict[ServiceKey, dict[str, bool]] = field(default_factory=dict)  # by address

    def addresses(self, key: ServiceKey) -> dict[str, str]:
        """The addresses of a service's instances, with the status of each."""
        endpoints = self.ready.get(key, {})
        match self.kinds[key]:
            case "vip":
                return {vip(key): "passing" if any(endpoints.values()) else "warning"}
            case "external":
                return {f"{key[1]}.example.com": "passing"}
            case _:
                return {a: "passing" if ok else "critical" for a, ok in endpoints.items()}

    def healthy(self) -> set[Place]:
        """Every instance that is answered for."""
        return {
            (*key, address)
            for key in self.kinds
            for address, status in self.addresses(key).items()
            if status != "critical"
        }

    def catalog(self, flat: dict[ServiceKey, str]) -> set[tuple[str, str, str]]:
        """Service, address and status of each instance."""
        return {
            (flat[key], address, status)
            for key in self.kinds
            for address, status in self.addresses(key).items()
        }

    def reverse(self, flat: dict[ServiceKey, str]) -> dict[str, str]:
        """Every reverse key with its value."""
        found = {}
        for key, kind in self.kinds.items():
            for address, status in self.addresses(key).items():
                if kind != "external" and (kind == "vip" or status == "passing"):
                    a, b, c, _ = address.split(".")
                    path = f"0.{c}.{b}.{a}.IN-ADDR.ARPA/{address}"
                    found[path] = f"{flat[key]}.service.dc1.consul"
        return found


NAMES = ["web", "api", "db", "cache", "queue", "mail"]
NAMESPACES = ["default", "shop", "ops"]


def number(key: ServiceKey) -> int:
    return NAMES.index(key[1]) * len(NAMESPACES) + NAMESPACES.index(key[0])


def vip(key: ServiceKey) -> str:
    return f"10.254.7.{number(key) + 1}"


def pod_ip(key: ServiceKey, pod: int) -> str:
    return f"10.1.{number(key)}.{pod + 1}"


class Witness:
    """Looks at the catalog all the time; `missing` is what it should have seen and did not."""

    def __init__(self, consul: ConsulAgent, node: str = NODE) -> None:
        self._url, self._node = consul.url, node
        self._expected: set[Place] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.missing: list[Place] = []
        self.looks = 0
        self._thread.start()

    def expect(self, places: set[Place]) -> None:
        """From now on, these must be there."""
        with self._lock:
            self._expected = set(places)

    def end(self) -> None:
        self._end.set()
        self._thread.join(20)

    def _watch(self) -> None:
        with httpx.Client(base_url=self._url, timeout=5) as client:
            while not self._end.wait(0.01):
                with self._lock:  # so that what is expected does not change during a look
                    found = self._look(client)
                    if found is not None:
                        self.looks += 1
                        self.missing += sorted(self._expected - found)

    def _look(self, client: httpx.Client) -> set[Place] | None:
        """What is there; None if Consul does not support the check. A server that comes up "
        "knows too little."""
        consistent = {"consistent": ""}
        try:
            services = client.get(f"/v1/catalog/node-services/{self._node}", params=consistent)
            checks = client.get(f"/v1/health/node/{self._node}", params=consistent)
        except httpx.HTTPError:
            return None
        if services.status_code != 200 or checks.status_code != 200:
            return None
        critical = {c["ServiceID"] for c in checks.json() if c["Status"] == "critical"}
        return {
            (s["Meta"]["external-k8s-ns"], s["Meta"]["external-k8s-ref-name"], s["Address"])
            for s in (services.json() or {}).get("Services") or ()
            if s["ID"] not in critical
        }


@dataclass
class History:
    """One run: the random source, the model, and the real parts."""

    chance: random.Random
    consul: ConsulAgent
    kubernetes: Cluster
    witness: Witness
    model: Model = field(default_factory=Model)
    workers: list[ConsuldnsProcess] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    denied: str = ""  # a kind that may not be listed now
    rounds: list[str] = field(default_factory=list)  # what happened in each, for explanations

    # --- the cluster ---

    def some_events(self) -> list[tuple[str, ServiceKey]]:
        """What is to happen: at most one event for a service, so that order does not matter."""
        chosen = self.chance.sample([(ns, n) for ns in NAMESPACES for n in NAMES], k=4)
        events = []
        for key in chosen:
            there = key in self.model.kinds
            kinds = ["remove", "endpoints", "endpoints"] if there else ["create"]
            events.append((self.chance.choice(kinds), key))
        return events

    def happen(self, event: tuple[str, ServiceKey]) -> None:
        """Do one event, in the cluster and in the model."""
        word, (namespace, name) = event
        key = (namespace, name)
        self.done[word] += 1
        if word == "remove":
            self.kubernetes.delete("services", name, namespace)
            del self.model.kinds[key]
            if self.model.ready.pop(key, None) is not None:
                self.kubernetes.delete("endpointslices", f"{name}-1", namespace)
            return
        if word == "create":
            kind = self.chance.choice(["vip", "vip", "headless", "external"])
            self.kubernetes.put("services", self._service(kind, key))
            self.model.kinds[key] = kind
        if self.model.kinds[key] != "external":
            self._set_endpoints(key)

    def _service(self, kind: str, key: ServiceKey) -> Object:
        namespace, name = key
        if kind == "external":
            target = f"{name}.example.com"
            return service(
                name, namespace=namespace, type="ExternalName", externalName=target, uid=new_uid()
            )
        ip = vip(key) if kind == "vip" else "None"
        return service(name, ip, namespace=namespace, uid=new_uid())

    def _set_endpoints(self, key: ServiceKey) -> None:
        namespace, name = key
        pods = self.chance.sample(range(5), k=self.chance.randint(0, 3))
        ready = {pod_ip(key, pod): self.chance.random() < 0.8 for pod in pods}
        endpoints = [
            endpoint(ip, ready=ok, pod=f"{name}-{n}", namespace=namespace)
            for n, (ip, ok) in enumerate(ready.items())
        ]
        self.kubernetes.put(
            "endpointslices", slice_(name, *endpoints, name=f"{name}-1", namespace=namespace)
        )
        self.model.ready[key] = ready

    # --- what breaks ---

    def start_worker(self) -> None:
        self.workers.append(self.started(self.kubernetes))

    def started(self, kubernetes: Cluster, *arguments: str) -> ConsuldnsProcess:
        """A worker of a cluster."""
        command = ["sync", "run", "--consul-addr", self.consul.url, *kubernetes.arguments]
        worker = ConsuldnsProcess([*command, *arguments])
        worker.start()
        return worker

    def kill_a_worker(self) -> None:
        worker = self.workers.pop(self.chance.randrange(len(self.workers)))
        worker.stop(signal.SIGKILL)
        self.start_worker()

    def stop_the_leader(self) -> None:
        """Its successor is the standby, or itself started anew."""
        worker = self.workers.pop(0)
        worker.stop()
        self.start_worker()

    def end_the_leaders_session(self) -> None:
        session = leader(self.consul)
        if session:
            self.consul.client.put(f"/v1/session/destroy/{session}")

    def restart_consul(self) -> None:
        self.consul.kill()
        self.consul.start()

    def outage_of_the_api(self) -> None:
        said = self._complaints()
        self.kubernetes.stop()
        wait_until(lambda: self._complaints() > said, "a worker that noticed the outage")
        self.kubernetes.start()

    def _complaints(self) -> int:
        return self._count("cannot watch")

    def _count(self, text: str) -> int:
        return sum(text in line for each in self.workers for line in each.lines)

    def lose_history(self) -> None:
        """Watches end, and cannot go on where they were: every kind has to be listed again."""
        self.kubernetes.lose_history()

    def lose_a_right(self) -> None:
        """The account may not list some kind any more, until the end of the round."""
        if not isinstance(self.kubernetes, ScriptedCluster):
            return  # a real API server's rights are not the tests' to change
        kinds = ["services", "endpointslices", "nodes", "namespaces"]
        self.denied = self.chance.choice(kinds)
        said = self._count(f"cannot list {self.denied}")
        self.kubernetes.grant({(kind, "*") for kind in kinds if kind != self.denied})
        line = f"cannot list {self.denied}"
        wait_until(lambda: self._count(line) > said, "a worker that noticed it", 30)

    def give_rights_back(self) -> None:
        """A right that comes is noticed at the next try only: later rounds must not wait for it."""
        if self.denied and isinstance(self.kubernetes, ScriptedCluster):
            self.kubernetes.grant(None)
            what = f"all workers list {self.denied} again"
            wait_until(lambda: not any(map(self._goes_without, self.workers)), what, 60)
        self.denied = ""

    def _goes_without(self, worker: ConsuldnsProcess) -> bool:
        """Whether the last that the worker said of the denied kind is that it cannot list it."""
        said = [
            line
            for line in worker.lines
            if self.denied in line and ("cannot list" in line or "watching" in line)
        ]
        return bool(said) and "cannot list" in said[-1]

    # --- a round ---

    def round(self, breakage: str) -> None:
        """Some events with something that breaks in their midst; then everything is right."""
        before, events = self.model.healthy(), self.some_events()
        self.rounds.append(f"{breakage} {events}")
        touched = {key for word, key in events if word != "endpoints"}
        stays = {place for place in before if place[:2] not in touched}
        position = self.chance.randrange(len(events) + 1)
        wiped = breakage == "restart_consul" and not self.consul_keeps_its_state
        self.witness.expect(set())
        after = self._after(events)
        self.witness.expect(set() if wiped else stays & after)
        for event in events[:position]:
            self.happen_as_planned(event)
        getattr(self, breakage)()
        self.done[breakage] += 1
        for event in events[position:]:
            self.happen_as_planned(event)
        self.give_rights_back()
        try:
            wait_until(self.is_right, f"everything right after {breakage}", SETTLE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.explain()}") from error
        assert self.witness.missing == []

    consul_keeps_its_state = False

    def _after(self, events: list[tuple[str, ServiceKey]]) -> set[Place]:
        """What will be healthy after the events: they are done on the model only, in advance."""
        state = self.chance.getstate()
        planned = Model(dict(self.model.kinds), dict(self.model.ready))
        real, self.model, cluster = self.model, planned, self.kubernetes
        self.kubernetes = _Nothing()  # type: ignore[assignment]
        counted = Counter(self.done)
        try:
            for event in events:
                self.happen(event)
            return planned.healthy()
        finally:
            self.model, self.kubernetes, self.done = real, cluster, counted
            self._choices = state

    def happen_as_planned(self, event: tuple[str, ServiceKey]) -> None:
        """Draw for the event what was drawn for it in advance."""
        after = self.chance.getstate()
        self.chance.setstate(self._choices)
        self.happen(event)
        self._choices = self.chance.getstate()
        self.chance.setstate(after)

    def flat_names(self, cluster: str = "kubernetes") -> dict[ServiceKey, str]:
        """The flat names, as the descriptors have them: first come, first served."""
        found = {}
        prefix = f"consuldns/k8s/{cluster}/svc/"
        for path, value in keys(self.consul, prefix).items():
            namespace, _, name = path.removeprefix(prefix).partition("/")
            found[namespace, name] = str(httpx.Response(200, text=value).json()["flat"])
        return found

    def is_right(self) -> bool:
        """Whether Consul has exactly what the model says."""
        try:
            return self.differences() == []
        except (httpx.HTTPError, KeyError, ValueError, TypeError):
            return False  # Consul is not up yet, or nothing has been written

    def differences(self) -> list[object]:
        """What is not as the model says."""
        flat = self.flat_names()
        flat.pop(("default", "kubernetes"), None)  # a real API server has it from the start
        wrong: list[object] = []
        if flat.keys() != self.model.kinds.keys():
            return [("descriptors", flat.keys() ^ self.model.kinds.keys())]
        for (namespace, name), given in flat.items():
            if given not in (name, f"{name}-{namespace}"):
                wrong.append(("name", namespace, name, given))
        if len(set(flat.values())) != len(flat):
            wrong.append(("names are not unique", flat))
        claimed = keys(self.consul, "consuldns/k8s-names/")
        names = {path.rpartition("/")[2] for path in claimed} - {"kubernetes"}
        if names != set(flat.values()):
            wrong.append(("claimed names", names ^ set(flat.values())))
        catalog = self.catalog()
        if catalog != self.model.catalog(flat):
            wrong.append(("catalog", catalog ^ self.model.catalog(flat)))
        reverse = keys(self.consul, "0.")
        reverse.pop("0.0.254.10.IN-ADDR.ARPA/10.254.0.1", None)
        if reverse != self.model.reverse(flat):
            wrong.append(("reverse", reverse.items() ^ self.model.reverse(flat).items()))
        return wrong

    def catalog(self, node: str = NODE) -> set[tuple[str, str, str]]:
        """Service, address and status of each instance on a node."""
        services = self.consul.client.get(f"/v1/catalog/node-services/{node}").json()["Services"]
        checks: list[dict[str, Any]] = self.consul.client.get(f"/v1/health/node/{node}").json()
        status = {check["ServiceID"]: check["Status"] for check in checks}
        return {
            (s["Service"], s["Address"], status[s["ID"]])
            for s in services
            if s["Service"] != "kubernetes"
        }

    def explain(self) -> str:
        """What is wrong, and what the workers said."""
        logs = "\n".join("\n".join(worker.lines[-15:]) for worker in self.workers)
        rounds = ", ".join(self.rounds[-6:])
        return f"differences: {self.differences()}\nlast: {rounds}\ndone: {self.done}\n{logs}"


class _Nothing:
    """A cluster that nothing is done to."""

    def put(self, *_: object) -> None: ...

    def delete(self, *_: object) -> None: ...


_uids = iter(range(10**9))


def new_uid() -> str:
    return f"uid-{next(_uids)}"


BREAKAGES = (
    "kill_a_worker",
    "kill_a_worker",
    "kill_a_worker",
    "stop_the_leader",
    "end_the_leaders_session",
    "restart_consul",
    "outage_of_the_api",
    "lose_history",
    "lose_a_right",
)


@pytest.mark.timeout(60 + 15 * ROUNDS)
@pytest.mark.parametrize("keeps_its_state", [True, False], ids=["consul-with-disk", "consul-wiped"])
def test_random_histories(kubernetes: Cluster, keeps_its_state: bool) -> None:
    with ConsulAgent(persistent=keeps_its_state) as consul:
        witness = Witness(consul)
        history = History(random.Random(SEED), consul, kubernetes, witness)
        history.consul_keeps_its_state = keeps_its_state
        try:
            for _ in range(2):
                history.start_worker()
            for round_number in range(ROUNDS):
                choice = BREAKAGES[round_number % len(BREAKAGES)]
                history.round(choice)
        finally:
            witness.end()
            for worker in history.workers:
                worker.stop()
        assert witness.looks > ROUNDS
        assert witness.missing == []
        print(f"{history.done} looks={witness.looks}")
