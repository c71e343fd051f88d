"""IPv4-mapped addresses: trusted proxies and client addresses."""

from __future__ import annotations

import pytest
from uvicorn.middleware.proxy_headers import _TrustedHosts

from asgi_app.cli.peers import is_this_machine, plain_address, with_mapped_addresses


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::FFFF:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:nonsense", "::ffff:nonsense"),
        ("localhost", "localhost"),
        ("", ""),
    ],
)
def test_plain_address(host: str, plain: str) -> None:
    assert plain_address(host) == plain


@pytest.mark.parametrize(
    ("allowed", "trusted", "others"),
    [
        ("127.0.0.1,::1", ["127.0.0.1", "::ffff:127.0.0.1", "::1"], ["127.0.0.2", "::ffff:127.0.0.2", "::2"]),
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "::ffff:11.0.0.1"]),
        ("::ffff:10.0.0.1", ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.2"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1"]),
        ("2001:db8::/32", ["2001:db8::1"], ["127.0.0.1", "::ffff:127.0.0.1"]),
        ("::/0", ["2001:db8::1", "::ffff:192.0.2.1"], ["192.0.2.1"]),
        ("gunicorn.sock, 10.0.0.1", ["gunicorn.sock", "::ffff:10.0.0.1"], ["10.0.0.2"]),
        ("*", ["192.0.2.1", "::ffff:192.0.2.1", "anything"], []),
        ("", [], ["127.0.0.1", "::ffff:127.0.0.1"]),
    ],
)
def test_proxy_is_trusted_in_both_forms(allowed: str, trusted: list[str], others: list[str]) -> None:
    hosts = _TrustedHosts(with_mapped_addresses(allowed))
    assert [host for host in trusted if host not in hosts] == []
    assert [host for host in others if host in hosts] == []


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("::", False), ("::ffff:0.0.0.0", False)],
)
def test_loopback_in_both_forms(host: str, loopback: bool) -> None:
    assert is_this_machine(host) is loopback
