"""A program that owns a node: `node_parent.py DATA CACHE`. Says where it is, then waits for its own end.

An empty CACHE leaves the choice to the node. After a Ctrl-C it asks the node once more and says what it heard.
"""

import json
import signal
import sys
from pathlib import Path

from asgi_app.local_node import NodeSpec, local_node
from asgi_app.local_node.cql import cql_answers


def tell(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    data, cache = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
    with local_node(NodeSpec(data=Path(data), cache=Path(cache) if cache else None)) as node:
        place: dict[str, object] = {
            "java": node.pid,
            "supervisor": node.supervisor_pid,
            "host": node.host,
            "port": node.port,
        }
        try:
            tell(place)
            sys.stdin.read()
        except KeyboardInterrupt:
            tell({"still_answers": cql_answers(node.host, node.port)})
            sys.exit(3)


if __name__ == "__main__":
    main()
