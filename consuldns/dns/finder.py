"""What a finder takes and gives: a Request, and a Finding with the reasons for it.

A finder looks up one interpretation of a name. A reason is decided where it is known, by the
finder: nothing is worked out a second time for those who want to read it (`explain`).
"""

from collections.abc import Callable, Collection
from enum import Enum

import msgspec

from consuldns import names
from consuldns.dns import consul_rules
from consuldns.dns.answer import ClosestEncloser, LabelSet, Outcome, Record, RecordGroup
from consuldns.dns.forwarded import Recursion
from consuldns.dns.policy import Policy, Zone
from consuldns.names import Labels
from consuldns.views.model import Instance, Instances
from consuldns.views.store import ViewReader


class Reason(Enum):
    """Why a finding is what it is. `explain.text` has a sentence for each."""

    # Nothing is there.
    NO_DATACENTER = "no datacenter"
    NO_SERVICE = "no service"
    NO_TAG = "no tag"
    NO_TAG_BELOW = "no tag below"
    NO_NODE = "no node"
    NO_DOTTED_SERVICE = "no dotted service"
    NOT_HEALTHY = "not healthy"
    NO_CONNECT = "no connect"
    NO_INGRESS = "no ingress"
    NO_PEER = "no peer"
    NO_NAMED_PORT = "no named port"
    NO_QUERY = "no query"
    QUERY_FINDS_NOTHING = "query finds nothing"
    NO_INSTANCE_WITH_TAGS = "no instance with tags"
    NO_CLUSTER = "no cluster"
    NO_KUBERNETES_KIND = "no kubernetes kind"
    NO_KUBERNETES_NAME = "no kubernetes name"
    NO_NAMESPACE = "no namespace"
    NO_SERVICE_IN_NAMESPACE = "no service in namespace"
    NO_ENDPOINT = "no endpoint"
    NO_PORT = "no port"
    NO_READY_ENDPOINT = "no ready endpoint"
    HIDDEN_SINCE_EMPTY = "hidden since empty"
    NOT_A_SERVICE_NAME = "not a service name"
    NAMES_NO_TARGET = "names no target"
    BELOW_EXTERNAL_NAME = "below external name"
    PODS_DISABLED = "pods disabled"
    NO_POD = "no pod"
    NOT_A_POD_NAME = "not a pod name"
    NO_NAMESPACE_OF_CONSUL_K8S = "no namespace of consul-k8s"
    NO_SERVICE_OF_CONSUL_K8S = "no service of consul-k8s"
    NO_PORT_OF_CONSUL_K8S = "no port of consul-k8s"
    NO_INSTANCE_OF_CONSUL_K8S = "no instance of consul-k8s"
    NO_ADDRESS = "no address"
    NO_NETWORK = "no network"
    NO_REVERSE_NAME = "no reverse name"
    NO_NAME_LEADS_BACK = "no name leads back"
    NODE_OF_CLUSTER = "node of cluster"
    INSTANCES_OF_CLUSTERS = "instances of clusters"
    NOT_SYNCED = "not synced"
    NO_RECORDS = "no records"
    NO_TARGET = "no target"
    # Something is there.
    SOME_UNHEALTHY = "some unhealthy"
    OF_CLUSTER = "of cluster"
    OF_CONSUL_K8S = "of consul-k8s"
    POINTS_TO = "points to"


class Why(msgspec.Struct, frozen=True):
    """A reason with what its sentence names, in order.

    `label` is the folded name that does not exist, and `among` are those that do.
    """

    reason: Reason
    values: tuple[object, ...] = ()
    label: bytes = b""
    among: Collection[bytes] = ()


class Finding(msgspec.Struct, frozen=True):
    """What was found for a name, before a negative one gets its SOA.

    `groups`, `authority` and `exclusive` are as in `Answer`. `is_empty_non_terminal`: there is
    nothing at the name, but below it (or for another type of a name that Consul knows for one type
    alone), so that another interpretation of the name may still have the answer.

    `is_computed`: from the name alone, of which clients can make up any number.

    `is_ordered`: the groups are in an order that is to be kept; `by_weight`: in a random one that
    goes by their weights.

    `is_referral`: the name is delegated, to the servers in `authority`. `is_followed`: the groups
    have all that their aliases lead to.

    `why` are the reasons, the main one first. `existing` of a denial: as many labels of the name,
    from the right, exist for this interpretation, with `labels_below` them; 0 if not known. What
    all interpretations say together is the `closest_encloser`.
    """

    outcome: Outcome
    groups: tuple[RecordGroup, ...] = ()
    authority: tuple[Record, ...] = ()
    exclusive: bool = False
    is_empty_non_terminal: bool = False
    why: tuple[Why, ...] = ()
    existing: int = 0
    labels_below: LabelSet = ()
    closest_encloser: ClosestEncloser | None = None
    is_ordered: bool = False
    by_weight: bool = False
    is_computed: bool = False
    is_referral: bool = False
    is_followed: bool = False


# Looked up once: a member of an Enum costs 75 ns each time on CPython 3.11.
_NXDOMAIN, _ANSWER = Outcome.NXDOMAIN, Outcome.ANSWER

NODATA = Finding(Outcome.NODATA)
EMPTY_NON_TERMINAL = Finding(Outcome.NODATA, is_empty_non_terminal=True)


def missing(
    reason: Reason, *values: object, label: bytes = b"", among: Collection[bytes] = ()
) -> Finding:
    """NXDOMAIN, and why."""
    return Finding(_NXDOMAIN, why=(Why(reason, values, label, among),))


def missing_below(
    existing: int, labels: LabelSet, reason: Reason, label: bytes, among: Collection[bytes]
) -> Finding:
    """NXDOMAIN, because the name that has `existing` labels has no such label below it."""
    why = Why(reason, (), label, among)
    # By position, and so in half of the time: every denial of a random name has two or three.
    return Finding(_NXDOMAIN, (), (), False, False, (why,), existing, labels)


def found(
    groups: list[RecordGroup], *, exclusive: bool = False, why: tuple[Why, ...] = ()
) -> Finding:
    """An answer, or NODATA if nothing has a record."""
    if not groups:
        return Finding(Outcome.NODATA, why=why) if why else NODATA
    return Finding(_ANSWER, tuple(groups), exclusive=exclusive, why=why)


class Request(msgspec.Struct, frozen=True):
    """A name and a type, and what they are to be answered from.

    `name` is folded; `came_from` are the aliases that led here, the first one first. Without
    `recursion`, aliases to names that are not ours are not followed.
    """

    name: Labels
    type: int
    zone: Zone
    views: ViewReader
    policy: Policy
    came_from: tuple[Labels, ...] = ()
    recursion: Recursion | None = None

    @property
    def domain(self) -> Labels:
        """Consul's domain that names in the answer are made under."""
        return self.zone.domain

    def datacenter(self, label: bytes | None) -> str | None:
        """Consul's spelling of the datacenter that a label names, None if there is none.

        Without a label it is the datacenter of the agent.
        """
        datacenters = self.views.datacenters()
        return datacenters.local if label is None else datacenters.by_name.get(label)

    def no_datacenter(self, label: bytes | None) -> Finding:
        """That `datacenter` found none."""
        among = self.views.datacenters().by_name
        return missing_below(len(self.domain), among, Reason.NO_DATACENTER, label or b"", among)

    def levels(self, datacenter: bytes | None) -> int:
        """The labels of `<kind>[.<dc>[.dc]].D`, which Consul's names are below."""
        domain, name = len(self.zone.domain), self.name
        if datacenter is None:
            return domain + 1
        is_explicit = name[-domain - 1] == b"dc" and name[-domain - 2] == datacenter
        return domain + (3 if is_explicit else 2)

    def all_instances(self, datacenter: str, service: bytes) -> Instances | None:
        """The instances of a service (folded name); None without the view if there is none."""
        name = self.views.listed_service(datacenter, service)
        return None if name is None else self.views.instances(datacenter, name)

    def reachable(self, instances: Instances, datacenter: str) -> Instances:
        """The instances with the addresses that clients here reach them at."""
        is_local = datacenter == self.views.datacenters().local
        translated = self.policy.translate_wan_addrs and not is_local
        return consul_rules.over_wan(instances) if translated else instances

    def healthy(self, instances: Instances) -> tuple[Instance, ...]:
        """Those of the instances that Consul answers with."""
        return consul_rules.healthy(instances, only_passing=self.policy.only_passing)

    def instances(self, datacenter: str, service: bytes) -> tuple[Instance, ...]:
        """The healthy instances of a service; () if no service has the name."""
        instances = self.all_instances(datacenter, service)
        return () if instances is None else self.healthy(instances)

    def ask(self, target: Labels, zone: Zone, type_: int) -> "Request":
        """The request that follows an alias."""
        came_from = (*self.came_from, self.name)
        name = names.fold(target)
        return Request(name, type_, zone, self.views, self.policy, came_from, self.recursion)


Find = Callable[[Request], Finding]
"""What a name in our zones has, whatever it means (`resolver.find`)."""
