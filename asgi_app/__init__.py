"""Apache Cassandra, Astra DB or ScyllaDB behind HTTP: a pluggable ASGI app on plain Starlette.

`__all__` has the public names. Each is imported when it is first used, so that the command line answers `--version`
without loading the driver and the web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgi_app.app import create_app, lifespan_of
    from asgi_app.db import Database
    from asgi_app.errors import (
        AlreadyStarted,
        Conflict,
        FieldError,
        Forbidden,
        InvalidInput,
        NotFound,
        ServiceError,
        Unauthorized,
    )
    from asgi_app.http.auth import Action, Authorize, Principal
    from asgi_app.http.context import database_of, deadline_of, principal_of
    from asgi_app.http.responses import json_response
    from asgi_app.http.routing import path
    from asgi_app.resources.query import Query
    from asgi_app.runtime.deadline import Deadline
    from asgi_app.settings import ContactPoint, Secret, Settings, SettingsError
    from asgi_app.stream import stream_rows
    from asgi_app.tables.cql import Statement
    from asgi_app.tables.resource import Resource
    from asgi_app.tables.resource_error import ResourceError
    from asgi_app.tables.table import CQLType, Index

__version__ = "0.1.0.dev0"

__all__ = [
    "Action",
    "AlreadyStarted",
    "Authorize",
    "CQLType",
    "Conflict",
    "ContactPoint",
    "Database",
    "Deadline",
    "FieldError",
    "Forbidden",
    "Index",
    "InvalidInput",
    "NotFound",
    "Principal",
    "Query",
    "Resource",
    "ResourceError",
    "Secret",
    "ServiceError",
    "Settings",
    "SettingsError",
    "Statement",
    "Unauthorized",
    "__version__",
    "create_app",
    "database_of",
    "deadline_of",
    "json_response",
    "lifespan_of",
    "path",
    "principal_of",
    "stream_rows",
]

if not TYPE_CHECKING:  # a type checker that saw this function would accept any name
    _MODULES = {
        "app": ("create_app", "lifespan_of"),
        "db": ("Database",),
        "errors": (
            "AlreadyStarted",
            "Conflict",
            "FieldError",
            "Forbidden",
            "InvalidInput",
            "NotFound",
            "ServiceError",
            "Unauthorized",
        ),
        "http.auth": ("Action", "Authorize", "Principal"),
        "http.context": ("database_of", "deadline_of", "principal_of"),
        "http.responses": ("json_response",),
        "http.routing": ("path",),
        "resources.query": ("Query",),
        "runtime.deadline": ("Deadline",),
        "settings": ("ContactPoint", "Secret", "Settings", "SettingsError"),
        "stream": ("stream_rows",),
        "tables.cql": ("Statement",),
        "tables.resource_error": ("ResourceError",),
        "tables.resource": ("Resource",),
        "tables.table": ("CQLType", "Index"),
    }

    def __getattr__(name):
        """Import a public name (PEP 562)."""
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f"asgi_app.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
