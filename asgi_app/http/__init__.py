"""HTTP on Starlette: middleware, routing, authorization, bodies, headers, formats. Independent of any table."""
