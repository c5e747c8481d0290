"""Random histories of one cluster under two names, beside a copy of it with the same UID.

The copy stands for a cluster that was restored from a snapshot of the first: it has its UID and its
addresses, and services of its own. All three workers write to one Consul. After each round each of
them has all that its cluster has, nothing of another's has gone, and nobody writes any more.
"""

import base64
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.kubernetes.catalog import keys
from tests.kubernetes.clusters import ScriptedCluster, scripted
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.objects import service
from tests.kubernetes.test_end_to_end import sync
from tests.kubernetes.test_model import (
    BREAKAGES,
    NAMES,
    NAMESPACES,
    ROUNDS,
    SEED,
    History,
    Model,
    ServiceKey,
    Witness,
    new_uid,
    vip,
)
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import ConsuldnsProcess

SECOND, COPY = "second", "copy"
WINDOWS = 2
QUIET = "3s"  # of one blocking query; two workers that fight write every second


@dataclass
class HistoryOfNames(History):
    """A history with two more workers: of the cluster's second name, and of its copy."""

    copy: ScriptedCluster = None  # type: ignore[assignment]
    others: dict[str, ConsuldnsProcess] = field(default_factory=dict)
    copied: Model = field(default_factory=Model)

    def start_others(self) -> None:
        """Start the workers that write under the other names."""
        self.others[SECOND] = self.started(self.kubernetes, "--cluster", SECOND)
        self.others[COPY] = self.started(self.copy, "--cluster", COPY)

    def change_the_copy(self) -> None:
        """A service comes or goes in the copy."""
        key = self.chance.choice([(ns, n) for ns in NAMESPACES for n in NAMES])
        namespace, name = key
        if key in self.copied.kinds:
            self.copy.delete("services", name, namespace)
            del self.copied.kinds[key]
        else:
            self.copy.put("services", service(name, vip(key), namespace=namespace, uid=new_uid()))
            self.copied.kinds[key] = "vip"

    def purge_the_second(self) -> None:
        """Its worker stops, and all that it wrote is removed; then another one starts."""
        self.others[SECOND].stop()
        before = self.written_by("kubernetes") | self.written_by(COPY)
        done = sync("purge", "--cluster", SECOND, "--consul-addr", self.consul.url)
        assert done.returncode == 0, done.stderr
        now = self.written_by("kubernetes") | self.written_by(COPY)
        assert before.keys() <= now.keys(), before.keys() - now.keys()
        assert self.written_by(SECOND) == {}
        self.others[SECOND] = self.started(self.kubernetes, "--cluster", SECOND)

    def kill_the_second(self) -> None:
        """A worker of the second name is started anew."""
        self.others[SECOND].stop()
        self.others[SECOND] = self.started(self.kubernetes, "--cluster", SECOND)

    def written_by(self, cluster: str) -> dict[str, int]:
        """The claims, descriptors and instances of one name, with the index of each."""
        found = {
            entry["Key"]: int(entry["ModifyIndex"])
            for entry in self.entries("consuldns/k8s")
            if entry["Key"].startswith(f"consuldns/k8s/{cluster}/svc/")
            or claimed_by(entry) == cluster
        }
        reply = self.consul.client.get(f"/v1/catalog/node-services/k8s-{cluster}").json() or {}
        return found | {each["ID"]: each["ModifyIndex"] for each in reply.get("Services") or ()}

    def entries(self, prefix: str) -> list[dict[str, Any]]:
        """Keys with all that Consul says of them."""
        reply = self.consul.client.get(f"/v1/kv/{prefix}", params={"recurse": ""})
        entries: list[dict[str, Any]] = reply.json() if reply.status_code == 200 else []
        return entries

    def everything(self) -> dict[str, int]:
        """Every key and instance, with its index."""
        names = ("kubernetes", SECOND, COPY)
        found = {entry["Key"]: int(entry["ModifyIndex"]) for entry in self.entries("")}
        return found | {k: v for name in names for k, v in self.written_by(name).items()}

    def assert_nobody_writes(self) -> None:
        """Wait as long as Consul does for a change, which must not come.

        A last write may be under way, such as the list of namespaces, which `is_right` does not
        look at. Workers that fight never pause for so long.
        """
        for _ in range(WINDOWS):
            before = self.everything()
            index = self.consul.client.get("/v1/kv/", params={"keys": ""}).headers["X-Consul-Index"]
            waiting = {"keys": "", "index": index, "wait": QUIET}
            self.consul.client.get("/v1/kv/", params=waiting, timeout=30)
            after = self.everything()
            if before == after:
                return
        raise AssertionError(sorted(before.items() ^ after.items()))

    def differences(self) -> list[object]:
        """What is not as the model says, under each of the three names."""
        wrong: list[object] = []
        flat: dict[str, dict[ServiceKey, str]] = {}
        models = {"kubernetes": self.model, SECOND: self.model, COPY: self.copied}
        for name, model in models.items():
            flat[name] = self.flat_names(name)
            flat[name].pop(("default", "kubernetes"), None)
            if flat[name].keys() != model.kinds.keys():
                return [("descriptors", name, flat[name].keys() ^ model.kinds.keys())]
            expected = {
                (service_, address, "warning" if name == COPY else status)
                for service_, address, status in model.catalog(flat[name])
            }
            catalog = {
                each for each in self.catalog(f"k8s-{name}") if not each[0].startswith("kubernetes")
            }
            if catalog != expected:
                wrong.append(("catalog", name, catalog ^ expected))
        used = [given for name in models for given in flat[name].values()]
        if len(set(used)) != len(used):
            wrong.append(("names are not unique", flat))
        claimed = {
            path.rpartition("/")[2]: value.partition("/")[0]
            for path, value in keys(self.consul, "consuldns/k8s-names/").items()
            if not path.rpartition("/")[2].startswith("kubernetes")
        }
        claims = {given: name for name in models for given in flat[name].values()}
        if claimed != claims:
            wrong.append(("claimed names", claimed.items() ^ claims.items()))
        return wrong + self._wrong_reverse_keys(flat)

    def _wrong_reverse_keys(self, flat: dict[str, dict[ServiceKey, str]]) -> list[object]:
        """Each address that anybody wants has a key, and it is what one of them wants."""
        wanted: dict[str, set[str]] = {}
        models = {"kubernetes": self.model, SECOND: self.model, COPY: self.copied}
        for name, model in models.items():
            for path, target in model.reverse(flat[name]).items():
                wanted.setdefault(path, set()).add(target)
        reverse = keys(self.consul, "0.")
        reverse.pop("0.0.254.10.IN-ADDR.ARPA/10.254.0.1", None)
        if reverse.keys() != wanted.keys():
            return [("reverse", reverse.keys() ^ wanted.keys())]
        return [
            ("reverse", path, value) for path, value in reverse.items() if value not in wanted[path]
        ]

    def explain(self) -> str:
        """What is wrong, and what all the workers said."""
        logs = "\n".join("\n".join(worker.lines[-15:]) for worker in self.others.values())
        return f"{super().explain()}\nothers:\n{logs}"


def claimed_by(entry: dict[str, Any]) -> str:
    """The cluster whose claim to a flat name it is, empty if it is none."""

    if not entry["Key"].startswith("consuldns/k8s-names/"):
        return ""
    return base64.b64decode(entry["Value"] or "").decode().partition("/")[0]


@contextmanager
def histories(kubernetes: Cluster) -> Iterator[HistoryOfNames]:
    """A history whose three workers run, and have written."""
    with ExitStack() as stack:
        consul = stack.enter_context(ConsulAgent(persistent=True))
        witness = Witness(consul)
        stack.callback(witness.end)
        history = HistoryOfNames(random.Random(SEED), consul, kubernetes, witness)
        stack.callback(
            lambda: [each.stop() for each in (*history.workers, *history.others.values())]
        )
        history.consul_keeps_its_state = True
        for _ in range(2):
            history.start_worker()
        node = "/v1/catalog/node/k8s-kubernetes"
        wait_until(lambda: bool(consul.client.get(node).json()), "the node of the first worker")
        uid = consul.client.get(node).json()["Node"]["Meta"]["consuldns-cluster-uid"]
        history.copy = stack.enter_context(scripted(uid=uid))
        history.start_others()
        yield history


EXTRA = ("change_the_copy", "kill_the_second", "change_the_copy", "purge_the_second")


@pytest.mark.timeout(120 + 20 * ROUNDS)
def test_random_histories_under_two_names(kubernetes: Cluster) -> None:
    with histories(kubernetes) as history:
        for number in range(ROUNDS):
            extra = EXTRA[number % len(EXTRA)]
            getattr(history, extra)()
            history.round(BREAKAGES[number % len(BREAKAGES)])
            if extra == "purge_the_second":
                history.assert_nobody_writes()
        history.assert_nobody_writes()
        assert history.witness.looks > ROUNDS
        assert history.witness.missing == []
        print(f"{history.done} looks={history.witness.looks}")
