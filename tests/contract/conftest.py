from collections.abc import Iterator

import pytest

from tests.contract.subject import Subject, embedded, real

AGENTS = {"embedded": embedded, "real": real}


@pytest.fixture(scope="session", params=AGENTS)
def consul(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Every test of the contract runs on the embedded agent and on a real one, never on one only.

    Both are shared by all tests: names come from `Subject.name`.
    """
    with AGENTS[request.param]() as subject:
        yield subject
