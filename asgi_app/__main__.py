"""`python -m asgi_app` is `asgi-cassandra`."""

from asgi_app.cli import main

if __name__ == "__main__":
    main(prog_name="asgi-cassandra")
