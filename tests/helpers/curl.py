"""Send a curl command line, as printed in a document, to an application in this process."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from typing import NoReturn

import httpx


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)  # argparse would end the process


_parser = _Parser("curl")
_parser.add_argument("-i", "--include", action="store_true")
_parser.add_argument("-X", "--request")
_parser.add_argument("-H", "--header", action="append", default=[])
_parser.add_argument("-d", "--data")
_parser.add_argument("url")


async def curl(client: httpx.AsyncClient, line: str) -> httpx.Response:
    """Send the request of `curl <line>`, with the headers that curl adds, and return the response."""
    asked = _parser.parse_args(shlex.split(line.replace("\\\n", " ")))
    headers = {"User-Agent": "curl/8.5.0", "Accept": "*/*"}
    if asked.data is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    for header in asked.header:
        name, _, value = header.partition(":")
        headers[name] = value.strip()
    method = asked.request or ("GET" if asked.data is None else "POST")
    return await client.request(method, asked.url, content=asked.data, headers=headers)
