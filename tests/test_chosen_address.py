"""The statements of docs/recipes/chosen-address.md."""

import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from examples.recipes.chosen_address import may_be_called
from runner import Server, client, serve
from runner.process import ROOT, free_port
from tests.copying import changed
from tests.listening import Silent, listening
from tests.orders import ask_until

TARGET = "examples.recipes.chosen_address:app"
INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
"""Two addresses of this machine: one stands for our network, the other for the internet."""
Start = Callable[..., AbstractContextManager[Server]]


class Listening(ThreadingHTTPServer):
    """A receiver at one address: what came, and from which connections."""

    daemon_threads = True
    request_queue_size = 200

    def __init__(self, address: str, port: int) -> None:
        super().__init__((address, port), Receive)
        self.received: list[tuple[str, str, Any]] = []
        """The host it was sent to, the path, and what."""
        self.connections: set[Any] = set()
        self.location = ""
        """Where it sends the sender to; empty: nowhere."""
        self.trickles = False
        self.hurry = threading.Event()


class Receive(Silent):
    server: Listening
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.received.append((self.headers["host"], self.path, body))
        self.server.connections.add(self.client_address)
        with suppress(OSError):  # the caller may have left
            for byte in b"HTTP/1.1 204 No Content" if self.server.trickles else b"":
                self.wfile.write(bytes([byte]))
                self.server.hurry.wait(0.5)
            self.send_response(307 if self.server.location else 204)
            if self.server.location:
                self.send_header("Location", self.server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()


@pytest.fixture
def port() -> int:
    return free_port()


def listen(address: str, port: int) -> Iterator[Listening]:
    with listening(Listening(address, port)) as receiver:
        yield receiver
        receiver.hurry.set()


@pytest.fixture
def inside(port: int) -> Iterator[Listening]:
    yield from listen(INSIDE, port)


@pytest.fixture
def outside(port: int) -> Iterator[Listening]:
    yield from listen(OUTSIDE, port)


def start(
    module: str = "examples.recipes.chosen_address",
    settings: dict[str, str] | None = None,
    **names: list[list[str]],
) -> AbstractContextManager[Server]:
    """The app; names with an underscore for the dot. The outside is allowed."""
    known = {name.replace("_", "."): found for name, found in names.items()}
    known = {name.encode("idna").decode(): found for name, found in known.items()}
    env = {"ALLOWED_NETWORKS": f"{OUTSIDE}/32", "NAMES": json.dumps(known)}
    return serve("tests.names:app", env=env | {"APP": module} | (settings or {}))


def encrypt(listening: Listening, folder: Path, host: str) -> None:
    """From now on by https, with a certificate of that name; who issued it is in the folder."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "trusted.pem")
    encrypted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(encrypted)
    listening.socket = encrypted.wrap_socket(listening.socket, server_side=True)


def name(server: Server, url: str) -> httpx.Response:
    """Name that address as a client."""
    return client.post(f"{server.url}/receivers", json={"url": url})


def test_what_the_client_names_is_called(outside: Listening, port: int):
    """An address outside is called, by the name, the port and the path that the client gave."""
    with start(shop_test=[[OUTSIDE]]) as server:
        answer = name(server, f"http://shop.test:{port}/hooks?shop=1")
        server.wait_for("greet: .* answered 204")
    assert answer.status_code == 202
    hello = {"type": "hello"}
    assert outside.received == [(f"shop.test:{port}", "/hooks?shop=1", hello)]


PRIVATE = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fd00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
]


def test_what_is_not_public_is_refused(inside: Listening, port: int):
    """Each of these gets `422`: loopback in all its spellings, private networks, link-local with the cloud's `169.254.169.254`, shared, multicast, and IPv6 that has an IPv4 address inside. Nothing is sent."""
    with serve(TARGET) as server:
        answers = {host: name(server, f"http://{host}:{port}/") for host in PRIVATE}
        server.stop()
    assert {host for host, got in answers.items() if got.status_code != 422} == set()
    assert inside.received == []


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111"])
def test_what_is_public_may_be_called(address: str):
    """Others may be called: `8.8.8.8`, `2606:4700:4700::1111`."""
    assert may_be_called(ip_address(address))


@pytest.mark.parametrize(
    ("address", "private", "public"),
    [
        ("100.64.0.1", False, False),
        ("224.0.0.1", False, True),
        ("64:ff9b::7f00:1", False, True),
    ],
)
def test_is_private_and_is_global_are_not_enough(
    address: str, private: bool, public: bool
):
    """Python's `is_private` is false for all three, and `is_global` is true for two, of `100.64.0.1`, `224.0.0.1` and `64:ff9b::7f00:1`."""
    one = ip_address(address)
    assert (one.is_private, one.is_global) == (private, public)
    assert not may_be_called(one)


SINCE = {11: (3, 11, 10), 12: (3, 12, 4)}
"""The releases of older Pythons that know the newer list of private networks."""


def test_since_python_3_13_an_ipv6_address_with_an_ipv4_inside_is_private():
    """`2002:7f00:1::`, 6to4 for 127.0.0.1, is global in Python up to 3.12.3 and 3.11.9, and private after these. The recipe refuses it in all of them."""
    one = ip_address("2002:7f00:1::")
    known = sys.version_info[:3] >= SINCE.get(sys.version_info.minor, (3, 13))
    assert (one.is_private, one.is_global) == (known, not known)
    assert not may_be_called(one)


def test_one_private_address_of_many_is_enough(inside: Listening, port: int):
    """A name with two addresses, one outside and one inside, is refused."""
    for both in ([OUTSIDE, INSIDE], [INSIDE, OUTSIDE]):
        with start(shop_test=[both]) as server:
            answer = name(server, f"http://shop.test:{port}/")
        assert answer.status_code == 422
        assert "shop.test is not in the public internet" in answer.text
    assert inside.received == []


AT_FIRST_OUTSIDE = [[OUTSIDE], [OUTSIDE], [INSIDE]]


def test_checked_and_then_called_by_its_name_it_arrives_inside(
    inside: Listening, outside: Listening, port: int, tmp_path: Path
):
    """What goes wrong otherwise: the name is looked up and checked, then httpx is given the name and looks it up again. Its owner's name server says something else by then, and the request arrives inside."""
    with_name = {"host=await resolve(url)": "host=(await resolve(url), url.host)[1]"}
    settings = changed({"PYTHONPATH": str(ROOT)}, tmp_path, TARGET, with_name)
    with start("changed", settings, shop_test=AT_FIRST_OUTSIDE) as server:
        name(server, f"http://shop.test:{port}/")
        server.wait_for("greet: .* answered 204")
    assert len(inside.received) == 1
    assert outside.received == []


def test_a_name_that_changes_is_called_where_it_was_checked(
    inside: Listening, outside: Listening, port: int
):
    """Resolved once, checked and connected to: the same name server is not asked again, and the request arrives outside."""
    with start(shop_test=AT_FIRST_OUTSIDE) as server:
        name(server, f"http://shop.test:{port}/")
        server.wait_for("greet: .* answered 204")
    assert inside.received == []
    assert len(outside.received) == 1


def test_a_name_that_has_moved_inside_is_not_called(
    inside: Listening, outside: Listening, port: int
):
    """A name that was outside when the client gave it, and is inside when it is to be called, is not called."""
    with start(shop_test=[[OUTSIDE], [INSIDE]]) as server:
        answer = name(server, f"http://shop.test:{port}/")
        server.wait_for("greet: .* not reached: .*not in the public internet")
    assert answer.status_code == 202
    assert inside.received == outside.received == []


def test_a_redirect_is_not_followed(inside: Listening, outside: Listening, port: int):
    """A receiver outside that redirects to an address inside gets its `307` written down, and nobody goes there."""
    outside.location = f"http://{INSIDE}:{port}/"
    with start(shop_test=[[OUTSIDE]]) as server:
        name(server, f"http://shop.test:{port}/")
        server.wait_for("greet: .* answered 307")
    assert len(outside.received) == 1
    assert inside.received == []


def test_a_proxy_of_the_environment_is_not_asked(
    inside: Listening, outside: Listening, port: int
):
    """With `HTTP_PROXY` in the environment httpx would leave connecting, and looking up, to the proxy. Here it does not."""
    settings = {"HTTP_PROXY": f"http://{INSIDE}:{port}"}
    with start(settings=settings, shop_test=[[OUTSIDE]]) as server:
        name(server, f"http://shop.test:{port}/")
        server.wait_for("greet: .* answered 204")
    assert inside.received == []
    assert len(outside.received) == 1


def test_the_certificate_must_be_of_the_name(
    outside: Listening, port: int, tmp_path: Path
):
    """With `https` the certificate must be of the name that the client gave, although the connection goes to its address: with one of another name nothing is sent."""
    encrypt(outside, tmp_path, "shop.test")
    settings = {"SSL_CERT_FILE": str(tmp_path / "trusted.pem")}
    both = {"shop_test": [[OUTSIDE]], "other_test": [[OUTSIDE]]}
    with start(settings=settings, **both) as server:
        name(server, f"https://other.test:{port}/")
        server.wait_for("greet: https://other.* not reached: .*CERTIFICATE_VERIFY")
        name(server, f"https://shop.test:{port}/")
        server.wait_for("greet: https://shop.* answered 204")
    assert [host for host, *_ in outside.received] == [f"shop.test:{port}"]


def test_a_name_with_an_umlaut_is_called_in_ascii(
    outside: Listening, port: int, tmp_path: Path
):
    """A name with an umlaut is looked up, called, and wanted in the certificate, as DNS spells it: `xn--…`."""
    spelt = "grüner-tee.test".encode("idna").decode()
    encrypt(outside, tmp_path, spelt)
    settings = {"SSL_CERT_FILE": str(tmp_path / "trusted.pem")}
    with start(settings=settings, **{"grüner-tee_test": [[OUTSIDE]]}) as server:
        name(server, f"https://grüner-tee.test:{port}/")
        server.wait_for("greet: .* answered 204")
    assert [host for host, *_ in outside.received] == [f"{spelt}:{port}"]


def test_two_names_share_no_connection(outside: Listening, port: int):
    """Two names with the same address share no connection: the certificate of one would do for the other."""
    both = {"shop_test": [[OUTSIDE]], "other_test": [[OUTSIDE]]}
    with start(**both) as server:
        for host in ("shop.test", "other.test"):
            name(server, f"http://{host}:{port}/")
            server.wait_for(f"greet: http://{host}.* answered 204")
    assert len(outside.connections) == 2


@pytest.mark.slow
def test_a_receiver_that_answers_byte_by_byte_is_left_in_time(
    outside: Listening, port: int
):
    """A receiver that sends a byte each half a second is left after five seconds."""
    outside.trickles = True
    with start(shop_test=[[OUTSIDE]]) as server:
        name(server, f"http://shop.test:{port}/")
        server.wait_for("greet: .* not reached: TimeoutError")


@pytest.mark.slow
def test_a_hundred_receivers_that_are_slow_hold_up_no_other(
    outside: Listening, port: int, tmp_path: Path
):
    """While a hundred receivers answer byte by byte, the next one is called."""
    longer = {"TIMEOUT = 5": "TIMEOUT = 60"}
    env = changed({"PYTHONPATH": str(ROOT)}, tmp_path, TARGET, longer)
    outside.trickles = True
    with start("changed", env, shop_test=[[OUTSIDE]]) as server:
        for number in range(100):
            name(server, f"http://shop.test:{port}/slow/{number}")
        ask_until(lambda: len(outside.received), lambda count: count == 100, 60)
        outside.trickles = False
        name(server, f"http://shop.test:{port}/next")
        server.wait_for("greet: .*/next answered 204")
        assert "slow" not in server.transcript()
        outside.hurry.set()


@pytest.mark.slow
def test_a_name_server_that_does_not_answer_is_left_in_time(port: int):
    """The client of a name server that does not answer has its `422` after five seconds."""
    with start(shop_test=[]) as server:
        answer = name(server, f"http://shop.test:{port}/")
    assert answer.status_code == 422
    assert answer.json() == {"detail": "No name server answers."}


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://shop.test/",
        "shop.test",
        "http://",
        "http://a..b/",
    ],
)
def test_what_is_no_web_address_is_refused(url: str):
    """Other schemes, no host, and a name that has no address get `422`."""
    with serve(TARGET) as server:
        assert name(server, url).status_code == 422
        assert name(server, "http://nowhere.invalid/").status_code == 422
