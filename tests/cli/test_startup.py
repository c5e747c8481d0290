"""A server that cannot start says why in one line and ends with status 3, 4 for a bad setting."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.consul_agent import free_ports, wait_until
from tests.support.consuldns_process import ConsuldnsProcess


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody listens on, over UDP and TCP."""
    (port,) = free_ports(1)
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))
        tcp.bind(("127.0.0.1", port))
        tcp.listen()
        yield f"127.0.0.1:{port}"


def ending(*arguments: str) -> tuple[int | None, str]:
    """Exit status and stderr of a command that ends by itself. `free` stands for a free address."""
    given = [f"127.0.0.1:{free_ports(1)[0]}" if each == "free" else each for each in arguments]
    admin = f"127.0.0.1:{free_ports(1)[0]}"
    process = ConsuldnsProcess(given, environment={"CONSULDNS_ADMIN_ADDR": admin})
    process.start()
    wait_until(lambda: process.status is not None, f"the end of {given}")
    process.stop()
    return process.status, process.log


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["serve", "--listen", "TAKEN"], id="serve-listen"),
        pytest.param(["serve", "--listen", "free", "--admin-addr", "TAKEN"], id="serve-admin"),
        pytest.param(["dev", "--http-addr", "free", "--listen", "TAKEN"], id="dev-listen"),
        pytest.param(["dev", "--http-addr", "TAKEN", "--listen", "free"], id="dev-http"),
    ],
)
def test_an_address_that_is_taken(arguments: list[str], taken: str) -> None:
    status, log = ending(*(taken if each == "TAKEN" else each for each in arguments))
    errors = [line for line in log.splitlines() if line.startswith("Error: ")]
    assert (status, len(errors)) == (3, 1), log
    assert taken in errors[0]
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["serve", "--workers", "many"],
            "Error: --workers: workers must be a whole number from 0 to 256, not 'many'",
            id="workers",
        ),
        pytest.param(
            ["serve", "--consul-addr", "unix://consul.sock"],
            "Error: --consul-addr: consul.address must have the whole path of a socket, as "
            "unix:///run/x, not 'unix://consul.sock'",
            id="unix",
        ),
        pytest.param(
            ["dev", "--http-addr", "8500"],
            "Error: --http-addr: the address must be an IP address and a port such as "
            "127.0.0.1:8600, not '8500'",
            id="http-addr",
        ),
        pytest.param(
            ["serve", "--config", "/nonexistent.toml"],
            "Error: /nonexistent.toml: cannot be read: No such file or directory (see --config)",
            id="no-file",
        ),
    ],
)
def test_a_setting_that_cannot_be_used(arguments: list[str], message: str) -> None:
    assert ending(*arguments) == (4, message)
