"""Table descriptions and the CQL made from them: columns, keys, statements, DDL. Knows no HTTP."""
