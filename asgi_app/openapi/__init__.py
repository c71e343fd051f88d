"""The OpenAPI document of the application, made from the declarations that serve it."""
