"""Answers names of prepared queries: `<name or id>.query`.

Consul's servers execute a query: they choose the datacenter, filter the instances by their health,
and order them. So the order is kept, and nothing is filtered here.
"""

from msgspec.structs import replace

from consuldns.dns.consul.instances import answer
from consuldns.dns.finder import EMPTY_NON_TERMINAL, Finding, Reason, Request, missing
from consuldns.dns.grammar.meanings import QueryName
from consuldns.names import fold_text, text_of
from consuldns.views.keys import is_guessable


def find(name: QueryName, request: Request) -> Finding:
    """The instances that the query finds, in its order."""
    views, datacenter = request.views, request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    listed = views.prepared_queries(views.datacenters().local)
    query = text_of(name.query)
    if query is None or not (name.query in listed.known or is_guessable(query)):
        return missing(Reason.NO_QUERY, label=name.query, among=listed.known)
    result = views.query_result(datacenter, query)
    found_in = result.datacenter or datacenter
    if not result.instances:
        if name.query in listed.name_suffixes:
            return EMPTY_NON_TERMINAL
        if result.exists:
            return missing(Reason.QUERY_FINDS_NOTHING, result.service)
        return missing(Reason.NO_QUERY, label=name.query, among=listed.known)
    ttl = result.ttl
    if ttl is None:
        ttl = request.policy.ttl_of_service(fold_text(result.service))
    instances = request.reachable(result, found_in).instances
    finding = answer(instances, found_in, ttl, request)
    return replace(finding, is_ordered=True)
