"""The differences in reverse names; `differences` has the table."""

from dataclasses import replace

from consuldns.names import address_of
from tests.differential.case import (
    NOTHING,
    REFUSED,
    SILENCE,
    Case,
    Expected,
    answered,
    text_of,
)
from tests.differential.replies import Record


def name_in_kv(case: Case, reply: Expected) -> Expected | None:
    targets = case.world.reverse.keys.get(case.name)
    if not case.is_reverse or targets is None:
        return None
    owner = text_of(case.name)
    records = frozenset(Record(owner, "PTR", 0, "IN", target) for target in targets)
    return answered(records)


def marked_instance(case: Case, reply: Expected) -> Expected | None:
    """What the sync worker wrote gives no reverse name; another instance or node there does."""
    reverse = case.world.reverse
    if not case.is_reverse or case.name not in reverse.overruled or case.name in reverse.keys:
        return None
    target = reverse.targets.get(case.name)
    if target is None:
        return REFUSED
    return answered(frozenset({Record(text_of(case.name), "PTR", 0, "IN", text_of(target))}))


def unsendable_target(case: Case, reply: Expected) -> Expected | None:
    """Consul keeps silent if the name of what it found is none for the DNS."""
    return REFUSED if case.is_reverse and reply is SILENCE else None


def another_type(case: Case, reply: Expected) -> Expected | None:
    if not case.is_reverse or case.asks("PTR", "ANY") or not case.owned(reply.answer, "PTR"):
        return None
    return case.nodata()


def no_address(case: Case, reply: Expected) -> Expected | None:
    """Consul reads the 32 labels next to `ip6.arpa`, and does not mind more of them."""
    found = case.is_reverse and case.owned(reply.answer, "PTR")
    return REFUSED if found and address_of(case.name) is None else None


def target_with_backslashes(case: Case, reply: Expected) -> Expected | None:
    """Consul takes a name of its catalog for presentation form: backslashes vanish."""
    answer = reply.answer or NOTHING
    for _, instance in case.world.catalog.instances():
        if "\\" in instance.service:
            wrong = instance.service.replace("\\", "").lower() + ".service."
            right = instance.service.replace("\\", "\\\\").lower() + ".service."
            answer = frozenset(replace(r, data=r.data.replace(wrong, right)) for r in answer)
    return replace(reply, answer=answer) if case.is_reverse else None


def oddly_spelled_address(case: Case, reply: Expected) -> Expected | None:
    """Consul compares the text of addresses: it does not find `2001:DB8:0::1`."""
    missed = case.is_reverse and reply.rcode in ("SERVFAIL", "REFUSED")
    if not missed or case.name not in case.world.reverse.oddly_spelled:
        return None
    target = text_of(case.world.reverse.targets[case.name])
    pointer = Record(text_of(case.name), "PTR", 0, "IN", target)
    return answered(frozenset({pointer}))


def miss(case: Case, reply: Expected) -> Expected | None:
    """REFUSED outside of our reverse zones, an honest denial inside."""
    if not case.is_reverse or reply.rcode not in ("SERVFAIL", "REFUSED"):
        return None
    if case.world.reverse.zone_of(case.name) is None:
        return REFUSED
    return case.nodata() if case.world.reverse.exists(case.name) else case.nxdomain()


def apex(case: Case, reply: Expected) -> Expected | None:
    """SOA and NS of a reverse zone; an address that we know outside of them is one of its own."""
    if not case.is_reverse or not case.asks("SOA", "NS", "ANY"):
        return None
    reverse = case.world.reverse
    known_outside = case.name in reverse.names and reverse.zone_of(case.name) is None
    if case.name not in reverse.zones and not known_outside:
        return None
    own = case.owned(reply.answer, "PTR")
    if case.asks("NS", "ANY"):
        own |= {case.name_server}
    if case.asks("SOA", "ANY"):
        own |= {case.start_of_authority}
    return answered(own, case.our_address)
