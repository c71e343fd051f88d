"""The live tables that resources are served from: read, compared with declarations, and followed as they change."""

from asgi_app.catalog.catalog import RECHECK_SECONDS as RECHECK_SECONDS
from asgi_app.catalog.catalog import Catalog as Catalog
