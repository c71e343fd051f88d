"""Recognise the variables that Kubernetes and Docker set for the services and containers around a program.

Kubernetes sets them for every service of the namespace unless a pod has `enableServiceLinks: false`; a service named
`cassandra` gives CASSANDRA_PORT, and one named `asgi-cassandra` gives names that begin like ours
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables; its code is
pkg/kubelet/envvars/envvars.go). Docker does the same for linked containers, and adds `…_NAME` and `…_ENV_…`
(https://docs.docker.com/engine/network/links/#environment-variables).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

_url = re.compile(r"(?P<protocol>tcp|udp|sctp)://(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})")
_exposed = re.compile(r"_PORT_(?P<port>[0-9]{1,5})_(?P<protocol>TCP|UDP|SCTP)(?P<part>|_PROTO|_PORT|_ADDR)$")
_service_port = re.compile(r"_SERVICE_PORT(_[A-Z0-9_]+)?$")
_docker_name = re.compile(r"(/[A-Za-z0-9_.-]+){2,}")


def service_links(environ: Mapping[str, str], prefixes: tuple[str, ...]) -> frozenset[str]:
    """Return the variables, of those that begin with one of `prefixes`, that are links in name and in value.

    A variable that has a link's name with another value, or a link's value under another name, is not one.
    """
    ours = {name: text for name, text in environ.items() if name.startswith(prefixes)}
    links = {name for name, text in ours.items() if _is_link(name, text)}
    return frozenset(links | set(_of_linked_containers(ours, links)))


def _is_link(name: str, text: str) -> bool:
    if name.endswith("_SERVICE_HOST"):
        return _is_address(text)
    if _service_port.search(name):
        return _is_port(text)
    if exposed := _exposed.search(name):
        return _is_part(exposed["part"], exposed["port"], exposed["protocol"].lower(), text)
    return name.endswith("_PORT") and _parsed(text) is not None


def _is_part(part: str, port: str, protocol: str, text: str) -> bool:
    if part == "_ADDR":
        return _is_address(text)
    if part:
        return text == {"_PROTO": protocol, "_PORT": port}[part]
    return _parsed(text) == (protocol, port)


def _of_linked_containers(ours: Mapping[str, str], links: set[str]) -> Iterator[str]:
    """Yield what Docker adds for a container; `…_ENV_…` may be anything, so only beside the container's `…_NAME`."""
    aliases = [name.removesuffix("_NAME") for name, text in ours.items() if _is_container_name(name, text)]
    for alias in aliases:
        if any(link.startswith(f"{alias}_PORT") for link in links):
            yield f"{alias}_NAME"
            yield from (name for name in ours if name.startswith(f"{alias}_ENV_"))


def _is_container_name(name: str, text: str) -> bool:
    return name.endswith("_NAME") and _docker_name.fullmatch(text) is not None


def _parsed(text: str) -> tuple[str, str] | None:
    """Return protocol and port of `tcp://10.96.1.5:9042` and the like."""
    found = _url.fullmatch(text)
    if found is None or not _is_address(found["v6"] or found["v4"]) or not _is_port(found["port"]):
        return None
    return found["protocol"], found["port"]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and 1 <= int(text) <= 65535
