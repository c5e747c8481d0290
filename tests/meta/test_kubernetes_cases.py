"""Every case of tests/cases/kubernetes.md has a test that names its number."""

import re
from collections.abc import Iterator

from tests.kubernetes.test_names import CASES
from tests.support.consul_agent import REPOSITORY
from tests.support.scenarios import scenarios

TESTS = REPOSITORY / "tests"
LISTED = re.findall(r"^(\d+)\. ", (TESTS / "cases/kubernetes.md").read_text(), re.MULTILINE)
SOURCES = [*(TESTS / "kubernetes").glob("test_*.py"), TESTS / "end_to_end/test_nested_names.py"]


def test_the_list_is_whole() -> None:
    assert list(map(int, LISTED)) == list(range(1, 66))


def test_every_case_is_tested_and_every_number_is_that_of_a_case() -> None:
    assert set(_named()) == set(LISTED)


def _named() -> Iterator[str]:
    for scenario in scenarios():
        if scenario.name.startswith("kubernetes:"):
            for query in scenario.queries:
                yield from _numbers(query["case"])
    for case, _, _ in CASES:
        yield from _numbers(case)
    for path in SOURCES:
        yield from re.findall(r"def test_(\d\d?)_", path.read_text())


def _numbers(case: str) -> list[str]:
    """`34 and 39 nobody is asked` is about two cases."""
    leading = re.match(r"\d+(?: and \d+)*", case)
    return re.findall(r"\d+", leading[0]) if leading else []
