"""IPv4-mapped IPv6 addresses, as a socket that listens on IPv6 reports them: ::ffff:192.0.2.1.

See RFC 4291 section 2.5.5.2.
"""

from __future__ import annotations

import ipaddress

from asgi_app.settings.dangers import is_loopback

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def plain_address(host: str) -> str:
    """Return an IPv4-mapped address as an IPv4 address, and any other text unchanged."""
    if not host.lower().startswith("::ffff:"):
        return host
    try:
        mapped = ipaddress.IPv6Address(host).ipv4_mapped
    except ValueError:
        return host
    return host if mapped is None else str(mapped)


def is_this_machine(host: str) -> bool:
    """Return whether an address to listen on can be reached from this machine alone."""
    return is_loopback(plain_address(host))


def with_mapped_addresses(allowed: str) -> str:
    """Return a list of trusted proxies with each IPv4 address or network in its mapped form as well, and vice versa.

    `allowed` has uvicorn's format: addresses and networks separated by commas, or `*`. Other entries stay unchanged.
    """
    entries = [entry.strip() for entry in allowed.split(",")]
    return ",".join(dict.fromkeys(form for entry in entries for form in _forms(entry)))


def _forms(entry: str) -> tuple[str, ...]:
    try:
        network = ipaddress.ip_network(entry)
    except ValueError:
        return (entry,)
    if isinstance(network, ipaddress.IPv4Network):
        return entry, f"::ffff:{network.network_address}/{96 + network.prefixlen}"
    mapped = network.network_address.ipv4_mapped
    if mapped is None or not network.subnet_of(_MAPPED):
        return (entry,)
    return entry, f"{mapped}/{network.prefixlen - 96}"
