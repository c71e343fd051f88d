"""Apache Cassandra, Astra DB or ScyllaDB behind HTTP: a pluggable ASGI app on plain Starlette."""

__version__ = "0.1.0.dev0"
