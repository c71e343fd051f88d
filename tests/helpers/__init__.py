"""What several suites need: the application in process, a keyspace of one's own, the shape of a problem."""
