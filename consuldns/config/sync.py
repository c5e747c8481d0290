"""The settings of the Kubernetes sync worker, `[sync]`."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from consuldns.config.declaration import Declaration
from consuldns.config.values import (
    BOOLEAN,
    DNS_LABEL,
    DOMAIN,
    DURATION,
    OPTIONAL_DOMAIN,
    OPTIONAL_HOST_PORT,
    TEXT,
    list_of,
    one_of,
    whole_number,
)
from consuldns.descriptor import CLUSTER_DOMAIN, EndpointMode, ReverseTarget
from consuldns.sockets import HostPort

ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]
EmptyVIPStatus = Literal["warning", "critical", "passing"]
NotReadyEndpoints = Literal["critical", "omit"]
NodePortAddresses = Literal["external-first", "external-only", "internal-only"]
CollisionPolicy = Literal["suffix", "merge", "skip"]
IngressAddresses = Literal["off", "host", "address"]
ReverseSource = Literal["cluster-ip", "headless", "endpoints", "manual", "load-balancer"]


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The Kubernetes sync worker: the services of a cluster in Consul's catalog and KV tree."""

    enabled: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether `consuldns serve` starts the sync worker as a child process. If the worker "
            "fails, DNS is not affected. Default: no, because the worker writes to Consul. "
            "`consuldns sync run` runs the same worker as a separate command.",
        ),
    ] = False
    cluster: Annotated[
        str,
        Declaration(
            DNS_LABEL,
            "Name of the cluster in Consul (node `k8s-<cluster>`). Two clusters in one Consul need "
            "two names; the worker refuses to share a name with another cluster.",
            flag="--cluster",
        ),
    ] = "kubernetes"
    kube_api: Annotated[
        str,
        Declaration(
            TEXT,
            "URL of a Kubernetes API that needs no credentials, such as http://127.0.0.1:8001 with "
            "`kubectl proxy`. If not set, the worker uses `kubeconfig`, else the service account "
            "of its pod, else ~/.kube/config.",
            flag="--kube-api",
        ),
    ] = ""
    kubeconfig: Annotated[
        str,
        Declaration(
            TEXT,
            "Kubeconfig files, separated by colons. They are merged as in kubectl.",
            flag="--kubeconfig",
            consul_variable="KUBECONFIG",
        ),
    ] = ""
    context: Annotated[
        str,
        Declaration(TEXT, "Context in the kubeconfig. Default: the current one.", flag="--context"),
    ] = ""
    allow_namespaces: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(TEXT),
            "Namespaces to sync. Each is listed separately, so a Role in each namespace is enough. "
            "Default: all namespaces, including kube-system.",
        ),
    ] = ("*",)
    deny_namespaces: Annotated[
        tuple[str, ...],
        Declaration(list_of(TEXT), "Namespaces not to sync, even if `allow_namespaces` has them."),
    ] = ()
    types: Annotated[
        tuple[ServiceType, ...],
        Declaration(
            list_of(one_of(ServiceType)),
            "Types of services to sync; headless services are of type ClusterIP. An annotation "
            "cannot add a service whose type is not listed. Without ClusterIP, this is "
            "`syncClusterIPServices: false` of consul-k8s. Default: all types.",
        ),
    ] = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
    label_selector: Annotated[
        str,
        Declaration(
            TEXT,
            "Label selector of the services to sync: `team=web,tier!=cache`. A service that no "
            "longer matches is removed from Consul. Default: all services.",
        ),
    ] = ""
    default: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether services without the annotation `service-sync` are synced. If false, only "
            'services with `service-sync: "true"` are.',
        ),
    ] = True
    mode: Annotated[
        EndpointMode,
        Declaration(
            one_of(EndpointMode),
            "How a service with a cluster IP is registered: with its cluster IP (`vip`), its "
            "endpoints, or both. Endpoints are useful where clients can reach pod addresses. The "
            "annotation `service-mode` overrides this for a service.",
        ),
    ] = "vip"
    vip_without_endpoints: Annotated[
        EmptyVIPStatus,
        Declaration(
            one_of(EmptyVIPStatus),
            "Health of a cluster IP without a ready endpoint. DNS answers include instances in "
            "state `warning` (unless `only_passing` is set), but not those in state `critical`.",
        ),
    ] = "warning"
    not_ready: Annotated[
        NotReadyEndpoints,
        Declaration(
            one_of(NotReadyEndpoints),
            "How an endpoint that is not ready is registered: as an instance in state `critical`, "
            "or not at all (`omit`).",
        ),
    ] = "critical"
    serve_terminating: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether terminating endpoints that still serve count as ready while the service has "
            "no other ready endpoint, as for kube-proxy.",
        ),
    ] = False
    node_port_addresses: Annotated[
        NodePortAddresses,
        Declaration(
            one_of(NodePortAddresses),
            "Which node addresses a NodePort service is registered with: for each node and each "
            "address family of the service, the first address of the first type that the node has. "
            "Values and default are those of consul-k8s (`nodePortSyncType`).",
        ),
    ] = "external-first"
    load_balancer_endpoints: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether LoadBalancer services are registered with their endpoints instead of the "
            "addresses of the load balancer (`syncLoadBalancerEndpoints` of consul-k8s).",
        ),
    ] = False
    external_ips: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether a service with `spec.externalIPs` is registered with those addresses only, as "
            "by consul-k8s (except headless and ExternalName services, for which Kubernetes does "
            "not route them). Off by default, because anyone who can create a service can put any "
            "address there (CVE-2020-8554).",
        ),
    ] = False
    prefix: Annotated[
        str,
        Declaration(TEXT, "Prefix of flat names: `k8s-` gives `k8s-redis`. Default: none."),
    ] = ""
    flat_names: Annotated[
        CollisionPolicy,
        Declaration(
            one_of(CollisionPolicy),
            "What to do with a service whose name is already in use, in Consul or by a service in "
            "another namespace: name it `<service>-<namespace>` (`suffix`), add its instances to "
            "the existing service (`merge`), or leave it out (`skip`). The annotation "
            "`service-collision` overrides this for a service.",
        ),
    ] = "suffix"
    tag: Annotated[
        str,
        Declaration(
            TEXT, "Tag of every instance, in addition to `cluster-<cluster>`. Empty for none."
        ),
    ] = "k8s"
    endpoint_names: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether the endpoints of services with a cluster IP also have names and reverse names "
            "(`10-0-95-11.redis-master.default.svc...`, `pg-0.pg...`), as in CoreDNS. Default: no, "
            "because every change in an endpoint's readiness is then a write to Consul.",
        ),
    ] = False
    pod_names: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether an endpoint without a hostname is named after its pod "
            "(`web-7d4b9c-x2x4z.web...`) instead of its address, as with `endpoint_pod_names` in "
            "CoreDNS. A pod name with dots or more than 63 characters is not a DNS label; such an "
            "endpoint is named after its address. Default: no, as in CoreDNS.",
        ),
    ] = False
    ingress: Annotated[
        IngressAddresses,
        Declaration(
            one_of(IngressAddresses),
            "How a ClusterIP service is registered that an Ingress exposes at the path `/`: like "
            "any other (`off`), with the host of the Ingress as an alias (`host`), or with the "
            "addresses of its load balancer (`address`). This is `syncCatalog.ingress` of "
            "consul-k8s, with its `loadBalancerIPs`. The port is 443 if `spec.tls` lists the host, "
            "else 80. Requires permission to list and watch ingresses.",
        ),
    ] = "off"
    reverse: Annotated[
        tuple[ReverseSource, ...],
        Declaration(
            list_of(one_of(ReverseSource)),
            "Which addresses get a reverse name. `cluster-ip`: cluster IPs. `headless`: endpoints "
            "of headless services, and with `endpoint_names` those of all services. `endpoints`: "
            "endpoints of services in mode `endpoints`. `manual`: endpoints in EndpointSlices that "
            "were written by hand, so that anyone who can write them can name any address except "
            "cluster IPs and node addresses. `load-balancer`: addresses of load balancers.",
        ),
    ] = ("cluster-ip", "headless")
    reverse_target: Annotated[
        ReverseTarget,
        Declaration(
            one_of(ReverseTarget),
            "Target of reverse names: the flat name, `redis.service.dc1.consul`, or the nested "
            "name, `redis.default.svc.dc1.consul`. If the flat name does not resolve to the "
            "address, the target is always the nested name.",
        ),
    ] = "flat"
    reverse_verify_pods: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether an endpoint gets a reverse name only if a pod in its namespace has that "
            "address. Requires permission to list and watch pods, and memory for all of them.",
        ),
    ] = False
    zone: Annotated[
        str,
        Declaration(
            OPTIONAL_DOMAIN,
            "Zone of the cluster's nested names. Default: `<datacenter>.<domain>`.",
        ),
    ] = ""
    cluster_domain: Annotated[
        str,
        Declaration(
            DOMAIN,
            "Domain of the cluster's own DNS (`clusterDomain` of the kubelet). An ExternalName in "
            "this domain is an alias of the service in a zone that is served here. Default: that "
            "of Kubernetes.",
        ),
    ] = CLUSTER_DOMAIN
    mass_delete_hold: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "How long to hold a mass deletion: a removal of more than ten services, and more than "
            "half of them, because they are missing from a list. It proceeds when two complete "
            "lists, this far apart, agree. Deletions that are seen as events are not held.",
        ),
    ] = timedelta(seconds=60)
    transactions_per_second: Annotated[
        int,
        Declaration(
            whole_number(1, 1000),
            "Maximum rate of transactions sent to Consul. Each has up to 63 changes, and is one "
            "entry in the Raft log.",
        ),
    ] = 50
    admin_addr: Annotated[
        HostPort | None,
        Declaration(
            OPTIONAL_HOST_PORT,
            "Address of the worker's own `/metrics`, `/health` and `/ready`. Default: none.",
            flag="--admin-addr",
        ),
    ] = None

    def allows(self, namespace: str) -> bool:
        """Whether services of a namespace may be synced; what is denied wins."""
        is_denied = namespace in self.deny_namespaces or "*" in self.deny_namespaces
        return not is_denied and (
            "*" in self.allow_namespaces or namespace in self.allow_namespaces
        )
