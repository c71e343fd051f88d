"""A program that owns a node: `node_parent.py DATA CACHE`. Prints where the node is, then waits for its own end.

An empty CACHE selects the default. After a Ctrl-C the program prints whether the node still answers.
"""

import json
import signal
import sys
from pathlib import Path

from asgi_app.local_node import NodeSpec, local_node
from asgi_app.local_node.cql import cql_answers


def report(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    data, cache = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell starts with SIGINT ignored
    with local_node(NodeSpec(data=Path(data), cache=Path(cache) if cache else None, throwaway=True)) as node:
        place: dict[str, object] = {
            "java": node.pid,
            "supervisor": node.supervisor_pid,
            "host": node.host,
            "port": node.port,
        }
        try:
            report(place)
            sys.stdin.read()
        except KeyboardInterrupt:
            report({"still_answers": cql_answers(node.host, node.port)})
            sys.exit(3)


if __name__ == "__main__":
    main()
