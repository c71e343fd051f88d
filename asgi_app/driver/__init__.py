"""Use cassandra-driver, and fence it in: connections, execution, rows as bytes, JSON. No other room imports it."""
