"""The project as its users run it: commands as processes, over TCP, on a real node."""
