"""Answer each path: the handlers of the built-in application."""
