"""Helpers of several test folders: the application in process, keyspaces, clients, nodes that fail on demand."""
