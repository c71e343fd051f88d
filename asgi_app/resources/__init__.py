"""The handlers of the built-in application's endpoints."""
