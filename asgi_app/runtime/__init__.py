"""Run work within bounds: admission, deadlines, ownership, shutdown. Knows neither HTTP nor Cassandra."""
