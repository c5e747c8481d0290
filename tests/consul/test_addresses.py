"""The index of service addresses."""

from msgspec.structs import replace

from consuldns import descriptor
from consuldns.consul.watch.address_index import AddressBook
from consuldns.views import model, reverse_names
from consuldns.views.model import Health


def instances(service: str, *places: tuple[str, str, str]) -> model.Instances:
    """Instances at (node, id, address)."""
    return model.Instances(
        0,
        tuple(
            model.Instance(
                node=model.Node(node, "", "10.9.9.9", "dc1", {}, {}),
                id=number,
                service=service,
                address=address,
                port=80,
                tags=(),
                meta={},
                tagged_addresses={},
                weight_passing=1,
                weight_warning=1,
                health=Health.PASSING,
            )
            for node, number, address in places
        ),
    )


def marked(view: model.Instances) -> model.Instances:
    """The same, written for a Kubernetes cluster."""
    meta = {descriptor.CLUSTER: "blue"}
    return model.Instances(0, tuple(replace(each, meta=meta) for each in view.instances))


def packed(*octets: int) -> bytes:
    return bytes(octets)


def test_first_instance_by_node_then_id_has_the_address() -> None:
    book = AddressBook()
    book.list_services(["Web", "db"])
    book.take("db", instances("db", ("zeta", "1", "10.0.0.1")), 1.0)
    assert not book.is_complete
    book.take("web", instances("Web", ("Alpha", "2", "10.0.0.1"), ("alpha", "1", "10.0.0.2")), 1.0)
    assert book.is_complete
    assert book.index().services == {packed(10, 0, 0, 1): "Web", packed(10, 0, 0, 2): "Web"}
    book.take("web", instances("Web"), 2.0)
    assert book.index().services == {packed(10, 0, 0, 1): "db"}


def test_addresses_that_are_the_nodes_or_hostnames_are_left_out() -> None:
    book = AddressBook()
    book.list_services(["a"])
    places = (("n", "1", ""), ("n", "2", "host.example.com"), ("n", "3", "2001:db8::1"))
    book.take("a", instances("a", *places), 1.0)
    assert list(book.index().services) == [bytes.fromhex("20010db8000000000000000000000001")]


def test_services_that_went_are_dropped_and_new_ones_are_read() -> None:
    book = AddressBook()
    book.list_services(["a", "b"])
    for service in ("a", "b"):
        book.take(service, instances(service, ("n", service, "10.0.0.1")), 1.0)
    assert book.next_service() is None
    book.list_services(["b", "c"])
    assert book.next_service() == "c"
    assert book.index().services == {packed(10, 0, 0, 1): "b"}


def test_change_somewhere_makes_all_due_oldest_first() -> None:
    book = AddressBook()
    book.list_services(["a", "b"])
    book.take("b", instances("b"), 1.0)
    book.take("a", instances("a"), 2.0)
    book.moved(3.0)
    assert book.next_service() == "b"
    book.skip("b", 4.0)
    assert book.next_service() == "a"
    book.skip("a", 4.0)
    assert book.next_service() is None


def test_same_addresses_again_are_no_news() -> None:
    book = AddressBook()
    book.list_services(["a"])
    book.take("a", instances("a", ("n", "1", "10.0.0.1")), 1.0)
    book.index()
    book.take("a", instances("a", ("n", "1", "10.0.0.1")), 2.0)
    assert not book.is_changed
    book.take("a", instances("a", ("n", "1", "10.0.0.3")), 3.0)
    assert book.is_changed


def test_instances_of_clusters_are_listed_apart_and_never_first() -> None:
    book = AddressBook()
    book.list_services(["a", "b", "c"])
    address = packed(10, 0, 0, 1)
    book.take("a", marked(instances("a", ("a", "1", "10.0.0.1"))), 1.0)
    book.take("c", marked(instances("C", ("a", "1", "10.0.0.1"))), 1.0)
    book.take("b", instances("b"), 1.0)
    assert book.index() == reverse_names.AddressIndex(0, {}, {address: ("C", "a")})
    book.take("b", instances("b", ("z", "9", "10.0.0.1")), 2.0)
    assert book.index() == reverse_names.AddressIndex(0, {address: "b"}, {address: ("C", "a")})
    book.list_services(["b"])
    assert book.index() == reverse_names.AddressIndex(0, {address: "b"})
    book.list_services([])
    assert book.index() == reverse_names.AddressIndex(0, {})


def test_a_service_may_have_both_at_one_address() -> None:
    book = AddressBook()
    book.list_services(["a"])
    address = packed(10, 0, 0, 1)
    own = instances("a", ("z", "9", "10.0.0.1"))
    of_cluster = marked(instances("a", ("a", "1", "10.0.0.1")))
    both = model.Instances(0, (*of_cluster.instances, *own.instances))
    for view, index in (
        (both, reverse_names.AddressIndex(0, {address: "a"}, {address: ("a",)})),
        (of_cluster, reverse_names.AddressIndex(0, {}, {address: ("a",)})),
        (own, reverse_names.AddressIndex(0, {address: "a"})),
        (both, reverse_names.AddressIndex(0, {address: "a"}, {address: ("a",)})),
    ):
        book.take("a", view, 1.0)
        assert book.is_changed
        assert book.index() == index
        book.take("a", view, 1.0)
        assert not book.is_changed


def test_service_that_is_to_be_read_again_does_not_make_the_index_complete() -> None:
    book = AddressBook()
    book.list_services(["a", "b"])
    book.moved(1.0)
    book.take("a", instances("a"), 2.0)
    book.retry("a")
    assert book.next_service() == "a"
    assert not book.is_complete
    book.take("b", instances("b"), 3.0)
    assert book.is_complete
