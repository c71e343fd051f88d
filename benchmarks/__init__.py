"""Measure how fast and small the service is, beside its alternatives, on one real Cassandra: `python -m benchmarks`.

A *contender* is an ASGI application in a process of its own (`contenders/`). A *scenario* puts contenders under a load
in rounds (`scenarios.py`) and gives one `Row` for each measurement (`rows.py`). Summary, report and a section of
docs/performance.md are made of these rows.
"""

HOST = "127.0.0.1"
"""The address of every contender."""
