"""How fast and how small the service is, measured beside its rivals on one real Cassandra: `python -m benchmarks`.

A *contender* is an ASGI application in a process of its own (`contenders/`). A *scenario* measures some or all of them
and gives tables and raw figures (`scenarios/`). The runner (`__main__`) prepares a node with sample rows, runs the
scenarios, prints the report and keeps the raw figures under `results/`.
"""

HOST = "127.0.0.1"
"""All traffic to the contenders goes there."""
