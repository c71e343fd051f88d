"""The files of packaged pages, with headers that keep a browser from running anything else."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from asgi_app.errors import NotFound
from asgi_app.http.requests import list_field

MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The media types by the ends of names. Those that a system has may be wrong, and browsers run no module of another."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The page loads its own files and talks to its own service, nothing else; text that becomes markup is an error."""

_INDEX = "index.html"


class Assets:
    """A fixed set of files: a page, and what it loads. They are read once, when the set is made.

    `folders` are searched for files in their order, without the folders in them; a page's own comes before those that
    pages share. Files without a media type in `MEDIA_TYPES` are left out. `prefix` leads from the page to its files: it
    names its modules in the field Link, so that a browser need not find them one import after another. `without` is
    left out of the page. Answers have an ETag, and a browser asks each time whether a file has changed: its name stays
    the same when a new version of the service is installed.
    """

    def __init__(self, *folders: Traversable, prefix: str = "", without: bytes = b"") -> None:
        bodies = {
            file.name: file.read_bytes()
            for folder in reversed(folders)
            for file in folder.iterdir()
            if _suffix(file.name) in MEDIA_TYPES
        }
        bodies[_INDEX] = bodies[_INDEX].replace(without, b"")
        self._files = {name: _Asset(body, MEDIA_TYPES[_suffix(name)]) for name, body in bodies.items()}
        modules = sorted(name for name in self._files if name.endswith(".js"))
        self._preloads = ", ".join(f"<{prefix}{name}>; rel=modulepreload" for name in modules)

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(len(file.body) for file in self._files.values())

    async def page(self, request: Request) -> Response:
        """Answer with the page itself, `index.html`."""
        answer = self._files[_INDEX].answer(request)
        answer.headers["Link"] = self._preloads
        return answer

    async def file(self, request: Request) -> Response:
        """Answer with the file that the path parameter `file` names. Raises NotFound if there is none."""
        file = self._files.get(request.scope["path_params"]["file"])
        if file is None:
            raise NotFound
        return file.answer(request)


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2]}"


class _Asset:
    """One file, and its answers."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self.body = body
        self._tag = f'"{sha256(body).hexdigest()[:32]}"'
        self._headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "Content-Type": media_type,
            "Cross-Origin-Resource-Policy": "same-origin",
            "ETag": self._tag,
        }

    def answer(self, request: Request) -> Response:
        """Return the file, or 304 without it if the client has it already (RFC 9110 section 13.1.2)."""
        sent = list_field(request, "if-none-match") or ""
        tags = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
        if not tags.isdisjoint({self._tag, "*"}):
            return Response(status_code=304, headers=self._headers)
        return Response(self.body, headers=self._headers)
