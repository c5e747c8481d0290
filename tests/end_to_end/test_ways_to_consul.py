"""Other ways to a Consul than plain HTTP: a socket, a proxy with a password, a namespace."""

import tempfile
from pathlib import Path

from tests.end_to_end.conftest import register
from tests.support.ask import wait_for_answer
from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import Serve


def test_consul_on_a_unix_socket() -> None:
    """The agent serves its port as well, for the test; the server knows the socket alone."""
    with tempfile.TemporaryDirectory(prefix="consul-") as folder:
        socket = f"unix://{Path(folder) / 'http.sock'}"
        addresses = {"http": f"127.0.0.1 {socket}"}
        with ConsulAgent(config={"addresses": addresses}) as consul:
            register(consul, "web", "10.0.0.1")
            with Serve(socket) as serve:
                wait_for_answer(serve.port, "web.service.consul", "A", "10.0.0.1")
                register(consul, "web", "10.0.0.2")
                wait_for_answer(serve.port, "web.service.consul", "A", "10.0.0.2")
                assert serve.is_ready()
