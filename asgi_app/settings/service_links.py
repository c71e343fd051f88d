"""Leave out the variables ("links") that Kubernetes and Docker set for other services and containers.

Kubernetes sets them for every service of the namespace unless a pod has `enableServiceLinks: false`. A service named
`cassandra` gives CASSANDRA_PORT, and one named `asgi-cassandra` gives names that begin like our variables
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables; its code is
pkg/kubelet/envvars/envvars.go). Docker does the same for linked containers, and adds `…_NAME` and `…_ENV_…`
(https://docs.docker.com/engine/network/links/#environment-variables).
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterator, Mapping

_url = re.compile(r"(?P<protocol>tcp|udp|sctp)://(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})")
_exposed = re.compile(r"_PORT_(?P<port>[0-9]{1,5})_(?P<protocol>TCP|UDP|SCTP)(?P<part>|_PROTO|_PORT|_ADDR)$")
_service_port = re.compile(r"_SERVICE_PORT(_[A-Z0-9_]+)?$")
_docker_name = re.compile(r"(/[A-Za-z0-9_.-]+){2,}")

logger = logging.getLogger("asgi_app.settings")


def without_service_links(environ: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    """Return the environment without the links whose names begin with one of `prefixes`; log which these are.

    A variable counts as a link only if both its name and its value have a link's form.
    """
    links = _service_links({name: text for name, text in environ.items() if name.startswith(prefixes)})
    if links:
        logger.info("ignored, because Kubernetes or Docker sets them for a service: %s", ", ".join(sorted(links)))
    return {name: text for name, text in environ.items() if name not in links}


def _service_links(variables: Mapping[str, str]) -> set[str]:
    links = {name for name, text in variables.items() if _is_link(name, text)}
    return links.union(_linked_containers(variables, links))


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


def _linked_containers(variables: Mapping[str, str], links: set[str]) -> Iterator[str]:
    """Yield the variables that only Docker sets.

    A value of `…_ENV_…` may be anything, so these count only if the container's `…_NAME` is set too.
    """
    aliases = [name.removesuffix("_NAME") for name, text in variables.items() if _is_container_name(name, text)]
    for alias in aliases:
        if any(link.startswith(f"{alias}_PORT") for link in links):
            yield f"{alias}_NAME"
            yield from (name for name in variables if name.startswith(f"{alias}_ENV_"))


def _is_container_name(name: str, text: str) -> bool:
    return name.endswith("_NAME") and _docker_name.fullmatch(text) is not None


def _parsed(text: str) -> tuple[str, str] | None:
    """Return the protocol and port of a URL such as `tcp://10.96.1.5:9042`; None for any other text."""
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
