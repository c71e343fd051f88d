"""Speak HTTP over Starlette: middleware, routing, bodies, headers, formats. Knows no table."""
