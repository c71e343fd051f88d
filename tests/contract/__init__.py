"""The HTTP contract, executed: the application in process on a real Cassandra, in a keyspace of its own."""
