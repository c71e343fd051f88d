"""Describe tables: columns, keys, statements, schema. Knows no HTTP."""
