"""Unusual requests, sent to `serve` with each parser: equal responses, and no body is parsed as a request."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest
from helpers.ports import free_port

from process.running import PARSERS, Program, started

PACE = 0.05
"""Seconds between two segments, so that they are read separately. A slower server only weakens a case."""
AT_ONCE = 8
"""Cases that are sent at the same time."""

ANIMAL = json.dumps(
    {"genus": "Lepus", "species": "europaeus", "image_url": "", "size_cm": 1, "sightings": 1, "taxonomy": []}
).encode()
SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: smuggled\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
PROBE = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: probe\r\nConnection: close\r\n\r\n"

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"
CHUNKED = "Transfer-Encoding: chunked"


class Case(NamedTuple):
    head: bytes
    body: bytes
    statuses: tuple[int, ...]
    """The statuses of the responses, including the probe's if the connection is still open then."""
    early: bool = False
    """Whether the response arrives before the body is sent."""


def get(target: str, *statuses: int, method: str = "GET", version: str = "HTTP/1.1", host: str = "Host: x") -> Case:
    fields = f"{host}\r\n" if host else ""
    return Case(f"{method} {target} {version}\r\n{fields}\r\n".encode("latin-1"), b"", statuses)


def post(fields: str, body: bytes, *statuses: int, version: str = "HTTP/1.1", early: bool = False) -> Case:
    kind = "" if "Content-Type" in fields else "Content-Type: application/json\r\n"
    return Case(f"POST /animal {version}\r\nHost: x\r\n{kind}{fields}\r\n\r\n".encode("latin-1"), body, statuses, early)


def sized(fields: str, body: bytes, *statuses: int, version: str = "HTTP/1.1", early: bool = False) -> Case:
    return post(f"{fields}\r\nContent-Length: {len(body)}", body, *statuses, version=version, early=early)


def chunks(body: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n0\r\n%b\r\n" % (len(body), extension, body, trailers)


CREATED, REFUSED, MALFORMED = (201, 200), (400,), (400, 200)

CASES: Mapping[str, Case] = {
    # An upgrade is ignored.
    "h2c": sized(H2C, ANIMAL, *CREATED),
    "h2c, a request as body": sized(H2C, SMUGGLED, *MALFORMED),
    "h2c, chunked": post(f"{H2C}\r\n{CHUNKED}", chunks(ANIMAL), *CREATED),
    "h2c, chunked, a request as body": post(f"{H2C}\r\n{CHUNKED}", chunks(SMUGGLED), *MALFORMED),
    "h2c, chunked with trailers": post(f"{H2C}\r\n{CHUNKED}", chunks(ANIMAL, trailers=b"X-Trailer: y\r\n"), *CREATED),
    "h2c, broken chunk": post(f"{H2C}\r\n{CHUNKED}", b"zz\r\n" + SMUGGLED, *REFUSED),
    "h2c, empty body": sized(H2C, b"", *MALFORMED),
    "h2c, no body": Case(f"GET /livez HTTP/1.1\r\nHost: x\r\n{H2C}\r\n\r\n".encode(), b"", (200, 200)),
    "h2c, twice": Case(f"GET /livez HTTP/1.1\r\nHost: x\r\n{H2C}\r\n\r\n".encode() * 2, b"", (200, 200, 200)),
    "h2c, closing": sized(H2C.replace("Upgrade,", "Upgrade, close,"), ANIMAL, 201),
    "h2c, HTTP/1.0": sized(H2C, ANIMAL, 201, version="HTTP/1.0"),
    "h2c, answered early": sized(H2C + "\r\nContent-Type: text/plain", SMUGGLED, 415, 200, early=True),
    "h2c, 100-continue": sized(H2C + "\r\nExpect: 100-continue", ANIMAL, 100, 201, 200, early=True),
    "websocket": sized("Connection: upgrade\r\nUpgrade: websocket", ANIMAL, *CREATED),
    "websocket, a request as body": sized("Connection: upgrade\r\nUpgrade: WebSocket", SMUGGLED, *MALFORMED),
    "websocket handshake": Case(
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"",
        (200, 200),
    ),
    "TLS/1.0": sized("Connection: Upgrade\r\nUpgrade: TLS/1.0", ANIMAL, *CREATED),
    "upgrade without connection": sized("Upgrade: h2c", ANIMAL, *CREATED),
    "connection without upgrade": sized("Connection: Upgrade", ANIMAL, *CREATED),
    "CONNECT": Case(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\nContent-Length: 56\r\n\r\n", SMUGGLED, REFUSED),
    "CONNECT to a path": Case(b"CONNECT /livez HTTP/1.1\r\nHost: x\r\n\r\n", SMUGGLED, REFUSED),
    "HTTP/2 without asking": Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SMUGGLED, REFUSED),
    # Answered before the body was read.
    "415": sized("Content-Type: text/plain", SMUGGLED, 415, 200, early=True),
    "415, chunked": post(f"Content-Type: text/plain\r\n{CHUNKED}", chunks(SMUGGLED), 415, 200, early=True),
    "415, broken chunk": post(f"Content-Type: text/plain\r\n{CHUNKED}", b"zz\r\n" + SMUGGLED, 415, early=True),
    "413": post("Content-Length: 99999999", SMUGGLED, 413, early=True),
    "404": Case(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 56\r\n\r\n", SMUGGLED, (404, 200), early=True),
    "405": Case(b"DELETE /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 56\r\n\r\n", SMUGGLED, (405, 200), early=True),
    "GET with a body": Case(
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 56\r\n\r\n", SMUGGLED, (200, 200), early=True
    ),
    "100-continue, refused": sized("Content-Type: text/plain\r\nExpect: 100-continue", SMUGGLED, 415, 200, early=True),
    "100-continue": sized("Expect: 100-continue", ANIMAL, 100, 201, 200, early=True),
    "100-continue and blanks": sized("Expect: \t100-Continue ", ANIMAL, 100, 201, 200, early=True),
    "100-continue in a list": sized("Expect: x, 100-continue", ANIMAL, 100, 201, 200, early=True),
    "another expectation": sized("Expect: x", ANIMAL, *CREATED),
    "100-continue, HTTP/1.0": sized("Expect: 100-continue", ANIMAL, 201, version="HTTP/1.0"),
    # Two lengths, unusual lengths.
    "Content-Length and chunked": post(f"Content-Length: 5\r\n{CHUNKED}", chunks(SMUGGLED), *REFUSED),
    "chunked and Content-Length": post(f"{CHUNKED}\r\nContent-Length: 5", chunks(SMUGGLED), *REFUSED),
    "Content-Length twice, equal": sized(f"Content-Length: {len(ANIMAL)}", ANIMAL, *REFUSED),
    "Content-Length twice": post("Content-Length: 2\r\nContent-Length: 58", b"{}" + SMUGGLED, *REFUSED),
    "Content-Length list": post(f"Content-Length: {len(ANIMAL)}, {len(ANIMAL)}", ANIMAL, *REFUSED),
    "Content-Length +2": post("Content-Length: +2", b"{}", *REFUSED),
    "Content-Length -1": post("Content-Length: -1", SMUGGLED, *REFUSED),
    "Content-Length 0x2": post("Content-Length: 0x2", b"{}", *REFUSED),
    "Content-Length 2 2": post("Content-Length: 2 2", b"{}", *REFUSED),
    "Content-Length 2.0": post("Content-Length: 2.0", b"{}", *REFUSED),
    "Content-Length empty": post("Content-Length:", SMUGGLED, *REFUSED),
    "Content-Length over 64 bits": post("Content-Length: 18446744073709551616", SMUGGLED, *REFUSED),
    "Content-Length with blanks": post(f"Content-Length: \t {len(ANIMAL)} \t", ANIMAL, *CREATED),
    "Content-Length with zeros": post(f"Content-Length: 000{len(ANIMAL)}", ANIMAL, *CREATED),
    # Transfer codings.
    "chunked": post(CHUNKED, chunks(ANIMAL), *CREATED),
    "chunked, a request as body": post(CHUNKED, chunks(SMUGGLED), *MALFORMED),
    "CHUNKED": post("Transfer-Encoding: \tCHUNKED ", chunks(ANIMAL), *CREATED),
    "chunked twice": post(f"{CHUNKED}\r\n{CHUNKED}", chunks(SMUGGLED), *REFUSED),
    "chunked, chunked": post("Transfer-Encoding: chunked, chunked", chunks(SMUGGLED), *REFUSED),
    "identity": post("Transfer-Encoding: identity", SMUGGLED, *REFUSED),
    "identity and length": sized("Transfer-Encoding: identity", SMUGGLED, *REFUSED),
    "gzip, chunked": post("Transfer-Encoding: gzip, chunked", chunks(SMUGGLED), *REFUSED),
    "chunked, gzip": post("Transfer-Encoding: chunked, gzip", chunks(SMUGGLED), *REFUSED),
    "gzip": post("Transfer-Encoding: gzip", SMUGGLED, *REFUSED),
    "xchunked": post("Transfer-Encoding: xchunked", chunks(SMUGGLED), *REFUSED),
    "no coding": post("Transfer-Encoding:", chunks(SMUGGLED), *REFUSED),
    "chunked with vertical tab": post("Transfer-Encoding: \x0bchunked", chunks(SMUGGLED), *REFUSED),
    "chunked, HTTP/1.0": post(CHUNKED, chunks(SMUGGLED), *REFUSED, version="HTTP/1.0"),
    # Chunks.
    "extension": post(CHUNKED, chunks(ANIMAL, b";a=b"), *CREATED),
    "extensions": post(CHUNKED, chunks(ANIMAL, b';a;b="c; \\" d";e=f'), *CREATED),
    "extension without name": post(CHUNKED, chunks(ANIMAL, b";"), *REFUSED),
    "extension with a blank": post(CHUNKED, chunks(ANIMAL, b"; a=b"), *REFUSED),
    "extension with a line feed": post(CHUNKED, chunks(ANIMAL, b";a\nb"), *REFUSED),
    "size with a blank": post(CHUNKED, chunks(ANIMAL, b" "), *REFUSED),
    "size with zeros": post(CHUNKED, b"0" * 30 + chunks(ANIMAL), *CREATED),
    "size with sign": post(CHUNKED, b"-" + chunks(ANIMAL), *REFUSED),
    "size with prefix": post(CHUNKED, b"0x" + chunks(ANIMAL), *REFUSED),
    "size over 64 bits": post(CHUNKED, b"10000000000000000\r\n" + SMUGGLED, *REFUSED),
    "no size": post(CHUNKED, b"\r\n" + SMUGGLED, *REFUSED),
    "chunk longer than its size": post(CHUNKED, b"2\r\n{}" + SMUGGLED, *REFUSED),
    "chunk ended by a line feed": post(CHUNKED, b"2\r\n{}\n0\r\n\r\n" + SMUGGLED, *REFUSED),
    "size ended by a line feed": post(CHUNKED, b"2\n{}\r\n0\r\n\r\n" + SMUGGLED, *REFUSED),
    "trailers": post(CHUNKED, chunks(ANIMAL, trailers=b"X-One: y\r\nHost: z\r\n"), *CREATED),
    "a length as trailer": post(CHUNKED, chunks(ANIMAL, trailers=b"Content-Length: 5\r\n"), *REFUSED),
    "a coding as trailer": post(CHUNKED, chunks(ANIMAL, trailers=b"Transfer-Encoding: chunked\r\n"), *REFUSED),
    "the end of the connection as trailer": post(CHUNKED, chunks(ANIMAL, trailers=b"Connection: close\r\n"), *REFUSED),
    "the end as trailer, h2c": post(f"{H2C}\r\n{CHUNKED}", chunks(ANIMAL, trailers=b"Connection: close\r\n"), *REFUSED),
    "the end as a proxy's trailer": post(CHUNKED, chunks(ANIMAL, trailers=b"Proxy-Connection: close\r\n"), *REFUSED),
    "the end as trailer, 415": post(
        f"Content-Type: text/plain\r\n{CHUNKED}", chunks(ANIMAL, trailers=b"Connection: close\r\n"), 415, early=True
    ),
    "trailer with a line feed": post(CHUNKED, chunks(ANIMAL, trailers=b"X: y\n"), *REFUSED),
    "trailer that is folded": post(CHUNKED, chunks(ANIMAL, trailers=b"X: y\r\n z\r\n"), *REFUSED),
    "trailer without name": post(CHUNKED, chunks(ANIMAL, trailers=b"nonsense\r\n"), *REFUSED),
    # Lines and fields.
    "line feeds": Case(b"GET /livez HTTP/1.1\nHost: x\n\n", SMUGGLED, REFUSED),
    "a line feed within the head": Case(b"GET /livez HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", SMUGGLED, REFUSED),
    "a line feed at the end": Case(b"GET /livez HTTP/1.1\r\nHost: x\r\n\n", SMUGGLED, REFUSED),
    "a carriage return within": Case(b"GET /livez HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", SMUGGLED, REFUSED),
    "two carriage returns": Case(b"GET /livez HTTP/1.1\r\nHost: x\r\r\n\r\n", SMUGGLED, REFUSED),
    "empty lines before": Case(b"\r\n\r\n\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"", (200, 200)),
    "empty lines between": sized("X: y", ANIMAL, *CREATED)._replace(body=ANIMAL + b"\r\n\r\n"),
    "a blank before": Case(b" GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", SMUGGLED, REFUSED),
    "folded": sized("X: y\r\n z", ANIMAL, *REFUSED),
    "folded with a tab": sized("X: y\r\n\tz", ANIMAL, *REFUSED),
    "folded first field": Case(b"GET /livez HTTP/1.1\r\n Host: x\r\n\r\n", SMUGGLED, REFUSED),
    "NUL in a value": sized("X: y\0z", ANIMAL, *REFUSED),
    "control character in a value": sized("X: y\x01z", ANIMAL, *REFUSED),
    "DEL in a value": sized("X: y\x7fz", ANIMAL, *REFUSED),
    "Latin-1 in a value": sized("X: \xe9", ANIMAL, *CREATED),
    "NUL in a name": sized("X\0: y", ANIMAL, *REFUSED),
    "a blank in a name": sized("X Y: z", ANIMAL, *REFUSED),
    "a blank before the colon": sized("X : y", ANIMAL, *REFUSED),
    "a blank before the length's colon": post("Content-Length : 5", SMUGGLED, *REFUSED),
    "a tab before the coding's colon": post("Transfer-Encoding\t: chunked", chunks(SMUGGLED), *REFUSED),
    "no name": sized(": y", ANIMAL, *REFUSED),
    "no colon": sized("nonsense", ANIMAL, *REFUSED),
    "brackets in a name": sized("X(y): z", ANIMAL, *REFUSED),
    "blanks around a value": sized("Content-Type: \t application/json \t", ANIMAL, *CREATED),
    "empty value": sized("X:", ANIMAL, *CREATED),
    # Host.
    "no Host": get("/livez", *REFUSED, host=""),
    "no Host, HTTP/1.0": get("/livez", 400, host="", version="HTTP/1.0"),
    "two Hosts": get("/livez", *REFUSED, host="Host: x\r\nHost: x"),
    "two Hosts, HTTP/1.0": get("/livez", *REFUSED, host="Host: x\r\nHost: y", version="HTTP/1.0"),
    "empty Host": get("/livez", 400, 200, host="Host:"),
    # Targets.
    "absolute form": get("http://x/livez", 200, 200),
    "absolute form, missing": get("http://x/nowhere?y=http://z/", 404, 200),
    "absolute form, https": get("HTTPS://x:8443/livez?y", 200, 200),
    "absolute form, no path": get("http://x", 200, 200),
    "absolute form, query": get("http://x?y", 200, 200),
    "absolute form, no Host": get("http://x/livez", *REFUSED, host=""),
    "absolute form, its host counts": get("http://trusted/livez", 200, 200, host="Host: stranger"),
    "absolute form, Host does not count": get("http://stranger/livez", 400, 200),
    "absolute form, no authority": get("http:///livez", *REFUSED),
    "absolute form, user": get("http://u:p@x/livez", *REFUSED),
    "absolute form, odd host": get("http://x\\y/livez", *REFUSED),
    "absolute form, odd path": get("http://x/livez\\", 404, 200),
    "a wrong target before a long body": Case(
        b"POST http:/livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n", b"a" * 9000, REFUSED
    ),
    "a wrong target and two Hosts": get("?x", *REFUSED, host="Host: x\r\nHost: x"),
    "a good one before a long line": Case(LIVEZ, b"a" * 9000, (200, 400)),
    "absolute form, fragment": get("http://x/livez#y", *REFUSED),
    "absolute form, another scheme": get("ftp://x/livez", *REFUSED),
    "absolute form, not http": get("urn:x", *REFUSED),
    "authority form": get("x:443", *REFUSED),
    "host alone": get("x", *REFUSED),
    "asterisk": get("*", 404, 200, method="OPTIONS"),
    "asterisk for GET": get("*", *REFUSED),
    "asterisk and more": get("*/livez", *REFUSED, method="OPTIONS"),
    "fragment": get("/livez#x", *REFUSED),
    "two slashes": get("//livez", 404, 200),
    "a URL within the path": get("/http://x/livez", 404, 200),
    "at and colon": get("/a:b@c;d=e", 404, 200),
    "marks": get('/a<>"{}|\\^`[]', 404, 200),
    "question marks": get("/livez??a?b", 200, 200),
    "percent": get("/%zz%", 404, 200),
    "encoded letter": get("/live%7A", 200, 200),
    "Latin-1": get("/\xe9", *REFUSED),
    "DEL": get("/\x7f", *REFUSED),
    "NUL": get("/\0", *REFUSED),
    "tab": get("/\tx", *REFUSED),
    "a blank within": get("/a b", *REFUSED),
    "blanks around": get(" /livez ", 200, 200),
    "no version": Case(b"GET /livez\r\nHost: x\r\n\r\n", SMUGGLED, REFUSED),
    # Methods and versions.
    "get": get("/livez", *REFUSED, method="get"),
    "GeT": get("/livez", *REFUSED, method="GeT"),
    "unknown": get("/livez", *REFUSED, method="FETCH"),
    "WebDAV": get("/livez", 405, 200, method="PROPFIND"),
    "TRACE": get("/livez", 405, 200, method="TRACE"),
    "QUERY": get("/livez", 405, 200, method="QUERY"),
    "PRI": get("*", *REFUSED, method="PRI"),
    "HTTP/1.0": get("/livez", 200, version="HTTP/1.0"),
    "HTTP/1.2": get("/livez", *REFUSED, version="HTTP/1.2"),
    "HTTP/2.0": get("/livez", *REFUSED, version="HTTP/2.0"),
    "HTTP/0.9": get("/livez", *REFUSED, version="HTTP/0.9"),
    "HTTP/1.10": get("/livez", *REFUSED, version="HTTP/1.10"),
    "http/1.1": get("/livez", *REFUSED, version="http/1.1"),
    "a blank after the version": get("/livez", *REFUSED, version="HTTP/1.1 "),
    # The end of a connection.
    "close": sized("Connection: close", ANIMAL, 201),
    "close for a proxy": sized("Proxy-Connection: Close", ANIMAL, 201),
    "close for a proxy, in a list": sized("Proxy-Connection: x, close", ANIMAL, 201),
    "keep-alive for a proxy": sized("Proxy-Connection: keep-alive", ANIMAL, *CREATED),
    "close in a list": sized("Connection: keep-alive, Close", ANIMAL, 201),
    "keep-alive, HTTP/1.0": sized("Connection: keep-alive", ANIMAL, 201, version="HTTP/1.0"),
    "a good one before a bad one": Case(LIVEZ + b"GET / HTTP/1.1\r\n\r\n", b"", (200, 400)),
    "a good one before no HTTP": Case(LIVEZ + b"\x16\x03\x01\r\n\r\n", b"", (200, 400)),
    "a good one before a broken body": Case(LIVEZ + post(CHUNKED, b"").head, b"zz\r\n" + SMUGGLED, (200, 400)),
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory, settings: Mapping[str, str]) -> Iterator[Sequence[int]]:
    """Run a server with each parser; yield their ports."""
    variables = {
        **settings,
        "ASGI_CASSANDRA_BODY_TIMEOUT": "2",  # for the body that never arrives
        "ASGI_CASSANDRA_TRUSTED_HOSTS": "x,trusted,127.0.0.1",
    }
    with ExitStack() as programs:
        found = []
        for name, command in PARSERS.items():
            port = free_port()
            folder = tmp_path_factory.mktemp(name)
            program = programs.enter_context(started([*command, "serve", "--port", str(port)], folder, variables))
            program.answers(f"http://127.0.0.1:{port}/readyz")
            found.append(port)
            programs.callback(_check_end, program)
        yield found


def _check_end(program: Program) -> None:
    assert program.end() == 0
    assert "Traceback" not in program.errors


class Answer(NamedTuple):
    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def answers(received: bytes) -> list[Answer]:
    """Split received bytes into responses, without the parts that differ from run to run."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        status_line, *lines = head.split(b"\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        length = int(fields.get(b"content-length", b"0"))
        body, received = received[:length], received[length:]
        fields = {name: _GENERATED.sub(b"generated", value) for name, value in fields.items() if name not in _TIMED}
        found.append(Answer(int(status_line.split()[1]), tuple(sorted(fields.items())), _GENERATED.sub(b"", body)))
    return found


_GENERATED = re.compile(rb"[0-9a-f]{32}")
_TIMED = (b"date", b"server-timing")


def exchange(port: int, case: Case, *, apart: bool) -> bytes:
    """Send head, body and the probe; return what arrives until the server closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):
            if apart:
                client.sendall(case.head)
                if case.early:
                    received = client.recv(65536)
                time.sleep(PACE)
                client.sendall(case.body)
                time.sleep(PACE)
                client.sendall(PROBE)
            else:
                client.sendall(case.head + case.body + PROBE)
        with suppress(ConnectionError):
            while data := client.recv(65536):
                received += data
    return received


@pytest.fixture(scope="module")
def exchanges(ports: Sequence[int]) -> Iterator[Mapping[tuple[str, bool], Future[Sequence[bytes]]]]:
    """Send every case in both ways to both servers, several at a time: most of it is waiting. Yield what arrives."""

    def received(name: str, apart: bool) -> Sequence[bytes]:
        return [exchange(port, CASES[name], apart=apart) for port in ports]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {(name, apart): pool.submit(received, name, apart) for name in CASES for apart in (False, True)}


@pytest.mark.parametrize("apart", [False, True], ids=["one segment", "own segments"])
@pytest.mark.parametrize("name", CASES)
def test_both_parsers_give_the_same_responses(
    exchanges: Mapping[tuple[str, bool], Future[Sequence[bytes]]], name: str, apart: bool
) -> None:
    case, received = CASES[name], exchanges[name, apart].result()
    assert all(b"smuggled" not in data.lower() for data in received), received
    with_httptools, with_h11 = map(answers, received)
    assert with_httptools == with_h11
    if apart or not case.early:
        assert tuple(answer.status for answer in with_h11) == case.statuses
    assert all(data.lower().count(b"x-request-id: probe") <= 1 for data in received), received
