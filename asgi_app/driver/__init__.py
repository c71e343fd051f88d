"""Use cassandra-driver: connect, run statements, keep rows as bytes, write JSON. No other room imports the driver."""
