"""A sentence for each reason that a finding can have."""

from collections.abc import Callable, Sequence
from itertools import islice

from consuldns.dns.explain.nearest import nearest
from consuldns.dns.finder import Reason, Why
from consuldns.names import format_name
from consuldns.views.model import Instance

MAX_SHOWN = 5  # instances that are named


def quoted(label: bytes) -> str:
    """A label or a name as it is shown, whatever its bytes are."""
    return f'"{label.decode(errors="backslashreplace")}"'


def sentence(why: Why) -> str:
    """Why a finding is what it is, and which name may have been meant."""
    template = SENTENCES[why.reason]
    if callable(template):
        return template(why)
    text = template.format(*map(_shown, why.values), label=quoted(why.label))
    meant = nearest(why.label, why.among) if why.label else None
    return text if meant is None else f"{text} (did you mean {quoted(meant)}?)"


def _shown(value: object) -> str:
    match value:
        case bytes():
            return quoted(value)
        case tuple():
            return " or ".join(map(_shown, value))
    return f"{value}"


def _unhealthy(instances: Sequence[Instance]) -> str:
    """The checks that make instances unhealthy, each once: those of a node fail for all on it."""
    failing = dict.fromkeys(each for instance in instances for each in instance.failing)
    shown = ", ".join(islice(failing, MAX_SHOWN))
    more = f", and {len(failing) - MAX_SHOWN} more" if len(failing) > MAX_SHOWN else ""
    return f" ({shown}{more})" if shown else ""


def _not_healthy(why: Why) -> str:
    (every,) = why.values
    assert isinstance(every, tuple)
    return f"none of its {len(every)} instances is healthy{_unhealthy(every)}"


def _some_unhealthy(why: Why) -> str:
    every, healthy = why.values
    assert isinstance(every, tuple)
    assert isinstance(healthy, tuple)
    counted = {id(each) for each in healthy}
    left_out = [each for each in every if id(each) not in counted]
    return f"{len(left_out)} of {len(every)} instances left out as unhealthy{_unhealthy(left_out)}"


def _without_tags(why: Why) -> str:
    healthy, tags = why.values
    assert isinstance(healthy, tuple)
    assert isinstance(tags, tuple)
    return f"none of its {len(healthy)} healthy instances has {' and '.join(map(quoted, tags))}"


def _points_to(why: Why) -> str:
    return ", ".join(format_name(each) for each in why.values if isinstance(each, tuple))


def _instances_of_clusters(why: Why) -> str:
    (services,) = why.values
    assert isinstance(services, tuple)
    every = ", ".join(map(repr, services))
    return f"only instances of Kubernetes clusters ({every}), which need a key"


# `{label}` is what was looked for, `{0}` and so on are the values of the reason.
SENTENCES: dict[Reason, str | Callable[[Why], str]] = {
    Reason.NO_DATACENTER: "there is no datacenter {label}",
    Reason.NO_SERVICE: "there is no service {label}",
    Reason.NO_TAG: "no service has the tag {label}",
    Reason.NO_TAG_BELOW: "there is none",
    Reason.NO_NODE: "there is no such node",
    Reason.NO_DOTTED_SERVICE: (
        "there is no such service, or no healthy instance with what is left of it as tag"
    ),
    Reason.NOT_HEALTHY: _not_healthy,
    Reason.NO_CONNECT: (
        "nothing accepts connections of the service mesh for {label}: no proxy, no native instance"
    ),
    Reason.NO_INGRESS: "no ingress gateway exposes {label}",
    Reason.NO_PEER: "there is no peer {label}, or the token may not see it",
    Reason.NO_NAMED_PORT: "no healthy instance of the service has a port {label}",
    Reason.NO_QUERY: "there is no prepared query {label}, and no template for it",
    Reason.QUERY_FINDS_NOTHING: "the query finds no healthy instance of {0}",
    Reason.NO_INSTANCE_WITH_TAGS: _without_tags,
    Reason.NO_RECORDS: "the zone {0} has no such name",
    Reason.NO_TARGET: "it is an alias of {0}, which does not exist",
    Reason.NO_CLUSTER: "no Kubernetes cluster has been synced by consuldns",
    Reason.NO_KUBERNETES_KIND: "{label} is none of svc, pod and dns",
    Reason.NO_KUBERNETES_NAME: "there is no such name",
    Reason.NO_NAMESPACE: "there is no namespace {label}",
    Reason.NO_SERVICE_IN_NAMESPACE: "the namespace has no service {label}",
    Reason.NO_ENDPOINT: "the service has no such endpoint or port that is ready",
    Reason.NO_PORT: "the service has no such endpoint or port that is ready",
    Reason.NO_READY_ENDPOINT: "the service is headless, and no endpoint of it is ready",
    Reason.HIDDEN_SINCE_EMPTY: "no endpoint of the service is ready, and empty ones are hidden",
    Reason.NOT_A_SERVICE_NAME: "no name below a service has this form",
    Reason.NAMES_NO_TARGET: "its external name '{0}' leads to no name that an alias can have",
    Reason.BELOW_EXTERNAL_NAME: "the service is an ExternalName, which has no names below it",
    Reason.PODS_DISABLED: "names of pods are disabled",
    Reason.NO_POD: "no endpoint in the namespace is a pod with the address",
    Reason.NOT_A_POD_NAME: "no name of a pod has this form: it is an address with dashes",
    Reason.NO_NAMESPACE_OF_CONSUL_K8S: (
        "the name of no service that consul-k8s may have synced ends in the namespace {0}"
    ),
    Reason.NO_SERVICE_OF_CONSUL_K8S: "consul-k8s has synced no service {0}",
    Reason.NO_INSTANCE_OF_CONSUL_K8S: (
        "of consul-k8s, {0} has no healthy instance in the namespace"
    ),
    Reason.NO_PORT_OF_CONSUL_K8S: (
        "of consul-k8s, {0} has no such endpoint or port that is healthy"
    ),
    Reason.NO_ADDRESS: "none has the address",
    Reason.NO_NETWORK: "no address that is known is in the network",
    Reason.NO_REVERSE_NAME: "{0} has the address, but is not to have a reverse name without a key",
    Reason.NO_NAME_LEADS_BACK: "{0} has the address, but none of its names leads to it",
    Reason.NODE_OF_CLUSTER: "only the node of cluster '{0}', whose address stands for nothing",
    Reason.INSTANCES_OF_CLUSTERS: _instances_of_clusters,
    Reason.NOT_SYNCED: "the cluster '{0}' is not synced: nothing can be said",
    Reason.SOME_UNHEALTHY: _some_unhealthy,
    Reason.OF_CLUSTER: "of cluster '{0}'",
    Reason.OF_CONSUL_K8S: "synced by consul-k8s",
    Reason.POINTS_TO: _points_to,
}
