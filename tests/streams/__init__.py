"""Streams and pages on a real node: every row once, whatever the clients, the rows and the node do."""
