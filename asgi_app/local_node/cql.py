"""Check whether a CQL server answers on a port, without a driver."""

import socket
import struct

# Protocol version 4, no flags, stream 0, OPTIONS, empty body: a server answers it without authentication.
OPTIONS_REQUEST = struct.pack(">BBhBi", 0x04, 0, 0, 0x05, 0)
SUPPORTED_OPCODE = 0x06
HEADER_BYTES = 9
ANSWER_SECONDS = 2.0


def cql_answers(host: str, port: int) -> bool:
    """Return whether a CQL server on `host` and `port` answers OPTIONS within two seconds."""
    try:
        with socket.create_connection((host, port), ANSWER_SECONDS) as connection:
            connection.sendall(OPTIONS_REQUEST)
            header = _read_header(connection)
    except OSError:
        return False
    return len(header) == HEADER_BYTES and header[4] == SUPPORTED_OPCODE


def _read_header(connection: socket.socket) -> bytes:
    header = b""
    while len(header) < HEADER_BYTES:
        part = connection.recv(HEADER_BYTES - len(header))
        if not part:
            break
        header += part
    return header
