"""Observe the service: metrics, logs, traces, and the record of each request."""
