"""Documents of names: what they say, and what is wrong with them; they survive being written."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.names import Labels
from consuldns.views.zone_records import RecordSet, ServiceAlias, ZoneName
from consuldns.zone_documents import rdata
from consuldns.zone_documents.document import DocumentError, read, write

ZONE: Labels = (b"example", b"internal")
WWW: Labels = (b"www",)
A, AAAA, TXT, MX, CNAME = map(rdata.type_of, ("A", "AAAA", "TXT", "MX", "CNAME"))


def a(*addresses: bytes, ttl: int = 60) -> RecordSet:
    return RecordSet(A, ttl, addresses)


@pytest.mark.parametrize(
    ("text", "records"),
    [
        pytest.param('A = "10.0.0.1"', (a(b"\n\0\0\1"),), id="a text"),
        pytest.param('A = ["10.0.0.1", "10.0.0.2"]', (a(b"\n\0\0\1", b"\n\0\0\2"),), id="a list"),
        pytest.param('A = ["10.0.0.1", "10.0.0.1"]', (a(b"\n\0\0\1"),), id="the same twice"),
        pytest.param('ttl = 5\nA = "10.0.0.1"', (a(b"\n\0\0\1", ttl=5),), id="a TTL for all"),
        pytest.param(
            'ttl = 5\nA = { ttl = 7, records = "10.0.0.1" }',
            (a(b"\n\0\0\1", ttl=7),),
            id="a TTL of its own",
        ),
        pytest.param('{"A": "10.0.0.1", "ttl": 9}', (a(b"\n\0\0\1", ttl=9),), id="JSON"),
        pytest.param('\ufeff\r\na = "10.0.0.1"\r\n', (a(b"\n\0\0\1"),), id="from Windows"),
        pytest.param(
            'MX = "10 mail"',
            (RecordSet(MX, 60, (b"\0\n\4mail\7example\x08internal\0",)),),
            id="a label is in the zone",
        ),
        pytest.param(
            'MX = "10 @"',
            (RecordSet(MX, 60, (b"\0\n\7example\x08internal\0",)),),
            id="the zone itself",
        ),
        pytest.param(
            'CNAME = "a.b."', (RecordSet(CNAME, 60, (b"\1a\1b\0",)),), id="a final dot: as it is"
        ),
        pytest.param(
            'TXT = "v=spf1 -all; x"',
            (RecordSet(TXT, 60, (b"\x0ev=spf1 -all; x",)),),
            id="TXT is the text itself",
        ),
        pytest.param(
            "TXT = '\"a b\" c'", (RecordSet(TXT, 60, (b"\3a b\1c",)),), id="TXT in quotes"
        ),
        pytest.param('TXT = ""', (RecordSet(TXT, 60, (b"\0",)),), id="an empty TXT"),
        pytest.param(
            'TYPE65280 = "\\\\# 2 abcd"', (RecordSet(65280, 60, (b"\xab\xcd",)),), id="RFC 3597"
        ),
    ],
)
def test_record_sets(text: str, records: tuple[RecordSet, ...]) -> None:
    assert read(text.encode(), WWW, ZONE) == ZoneName(WWW, records)


def test_a_long_text_is_several_strings() -> None:
    (records,) = read(f'TXT = "{"x" * 600}"'.encode(), WWW, ZONE).records
    assert [records.data[0][at] for at in (0, 256, 512)] == [255, 255, 90]


def test_a_service() -> None:
    text = b'service = "web"\ntag = "v1"\ndatacenter = "dc2"\nttl = 30\nTXT = "beside it"'
    found = read(text, WWW, ZONE)
    assert found.alias == ServiceAlias("web", "v1", "dc2", 30)
    assert read(b'service = "web"', WWW, ZONE).alias == ServiceAlias("web")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["there are neither records nor a service in it"]),
        ("A = [", ["line 1: it is not valid TOML"]),
        ('A = "10.0.0.1"\nB', ["line 2: it is not valid TOML"]),
        ('{"A":\n"10.0.0.1"', ["it is not valid JSON: Input data was truncated"]),
        ('{"A":\n]', ["line 2: it is not valid JSON: invalid character"]),
        ("[" * 3_000, ["line 1: it is not valid TOML"]),
        ('{"A": ' + "[" * 3_000, ["it is nested too deeply"]),
        ("A = " + "[" * 3_000, ["it is nested too deeply"]),
        ('\nA = [\n"10.0.0.1",\n"10.0.0.300",\n]', ["line 4: A: '10.0.0.300' is not valid A data"]),
        ('AAAA = "10.0.0.1"', ["line 1: AAAA: '10.0.0.1' is not valid AAAA data, such as 2001:"]),
        ('MX = "mail"', ["line 1: MX: 'mail' is not valid MX data, such as 10 mail"]),
        ('CNAME = "www.example.net"', ["the name www.example.net needs a final dot"]),
        ('SRV = "1 2 3 a.b"', ["line 1: SRV: the name a.b needs a final dot"]),
        ("A = 1", ["line 1: A must be a text or a list of texts"]),
        ("A = [1]", ["line 1: A must be a text or a list of texts"]),
        ("A = []", ["line 1: A has no records"]),
        (f"A = {['10.0.0.1'] * 1_001}", ["line 1: A has 1,001 records, more than 1,000"]),
        ("A = {}", ["line 1: A has `ttl` and `records`"]),
        ('A = { ttl = 1, record = "10.0.0.1" }', ["line 1: A has `ttl` and `records`, not record"]),
        ('ttl = "5m"\nA = "10.0.0.1"', ["line 1: ttl must be a number of seconds, not '5m'"]),
        ('ttl = -1\nA = "10.0.0.1"', ["line 1: ttl must be a number of seconds, not -1"]),
        ('ttl = true\nA = "10.0.0.1"', ["line 1: ttl must be a number of seconds, not True"]),
        ('servce = "web"', ["'SERVCE' is not a type of records; did you mean service?"]),
        ('SOA = "x"', ["line 1: the server makes the SOA record by itself"]),
        ('RRSIG = "x"', ["line 1: records of DNSSEC are made by the server that signs"]),
        ('ANY = "x"', ["line 1: ANY is not a type of records"]),
        ('TYPE0 = "x"', ["line 1: TYPE0 is not a type of records"]),
        ('TYPE99999 = "x"', ["line 1: 'TYPE99999' is not a type of records"]),
        ('a = "10.0.0.1"\nA = "10.0.0.2"', ["line 1: A is there twice"]),
        ("service = 1", ["line 1: service must be a text, not 1"]),
        ('service = ""', ["line 1: service must be a text, not ''"]),
        ('tag = "v1"', ["line 1: tag says nothing without a service"]),
        ('service = "web"\nA = "10.0.0.1"', ["line 1: A and service exclude each other"]),
        ('CNAME = "a"\nTXT = "b"', ["line 1: a name with a CNAME has no other records"]),
        ('CNAME = ["a", "b"]', ["line 1: a name has one CNAME at most"]),
        ('NS = "ns"\nTXT = "b"', ["line 1: a delegated name has no other records than NS"]),
    ],
)
def test_mistakes(text: str, problems: list[str]) -> None:
    with pytest.raises(DocumentError) as error:
        read(text.encode(), WWW, ZONE)
    said = [str(each) for each in error.value.problems]
    for problem in problems:
        assert any(problem in each for each in said), said


@pytest.mark.parametrize(
    ("labels", "text", "problem"),
    [
        ((), 'CNAME = "a"', "the zone itself cannot be a CNAME"),
        ((b"*", b"a"), 'NS = "ns"', "a wildcard name cannot be delegated"),
    ],
)
def test_mistakes_at_some_names(labels: Labels, text: str, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem):
        read(text.encode(), labels, ZONE)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(DocumentError) as error:
        read(b'ttl = "x"\nA = "1"\nMX = "2"\nnope = "3"', WWW, ZONE)
    assert [each.line for each in error.value.problems] == [1, 2, 3, 4]


@given(st.binary(max_size=60))
def test_any_octets_are_a_document_or_an_error(content: bytes) -> None:
    with contextlib.suppress(DocumentError):
        read(content, WWW, ZONE)


TYPES = ["A", "AAAA", "CNAME", "MX", "NS", "SRV", "TXT", "CAA", "HTTPS", "NAPTR", "TLSA"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*TYPES, "ttl", "service", "tag", "x"]), VALUES))
def test_any_json_is_a_document_or_an_error(values: dict[str, object]) -> None:
    with contextlib.suppress(DocumentError):
        read(msgspec.json.encode(values), WWW, ZONE)


ALIASES = st.none() | st.builds(
    ServiceAlias, st.text(min_size=1), st.text(), st.text(), st.none() | st.integers(0, 2**31 - 1)
)
TEXTS = st.lists(st.binary(max_size=255), min_size=1, max_size=3).map(
    lambda each: b"".join(bytes((len(one),)) + one for one in each)
)
TTLS = st.integers(0, 2**31 - 1)


@given(TTLS, st.lists(TEXTS, min_size=1, max_size=3, unique=True), TTLS, ALIASES)
def test_what_is_written_is_read_again(
    ttl: int, texts: list[bytes], mx_ttl: int, alias: ServiceAlias | None
) -> None:
    sets = (RecordSet(TXT, ttl, tuple(texts)), RecordSet(MX, mx_ttl, (b"\0\1\1x\0",)))
    name = ZoneName(WWW, sets, alias)
    assert read(write(name).encode(), WWW, ZONE) == name
