"""Whole tables to files and back: the manifest of an export, its parts, and the rows in them. Knows no HTTP."""
