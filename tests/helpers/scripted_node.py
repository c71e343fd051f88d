"""A scripted Cassandra node: a listening socket that does the handshake and sends what the test tells it to send.

All functions block, for at most `PATIENCE` seconds: call them in a worker thread if the event loop must run.
"""

from __future__ import annotations

import datetime
import io
import ipaddress
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from cassandra import protocol
from cassandra.connection import segment_codec_no_compression
from cassandra.segment import Segment
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from helpers.wire import encoded, int32, string

PATIENCE = 20.0
"""Seconds: longer than any step takes unless something hangs."""

ERROR, READY, AUTHENTICATE, SUPPORTED, RESULT, EVENT = 0x00, 0x02, 0x03, 0x06, 0x08, 0x0C
STARTUP, OPTIONS, EXECUTE = 0x01, 0x05, 0x0A

INT, BLOB = 0x0009, 0x0003
CHECKSUMS = 5
"""The first version of the protocol whose frames travel in segments with checksums."""

_HEADER = Struct(">BBhBi")
_RESPONSE = 0x80


@dataclass(frozen=True, slots=True)
class Asked:
    """A received request."""

    stream: int
    opcode: int
    body: bytes


class Peer:
    """The node's end of one connection, after the handshake."""

    def __init__(self, stream: socket.socket, version: int) -> None:
        """Take a connected socket, after its TLS handshake if it uses TLS."""
        self.socket = stream
        self.version = version
        self._received = b""
        self._in_segments = False

    def shake_hands(self) -> None:
        """Answer OPTIONS and STARTUP as a node without authentication does."""
        options = self.read()
        assert options.opcode == OPTIONS
        self.socket.sendall(frame(self.version, options.stream, SUPPORTED, supported()))
        startup = self.read()
        assert startup.opcode == STARTUP
        self.socket.sendall(frame(self.version, startup.stream, READY))
        self._in_segments = self.version >= CHECKSUMS

    def read(self) -> Asked:
        """Return the next request. Raises EOFError if the client has closed the connection."""
        version, _, stream, opcode, length = _HEADER.unpack(self._take(_HEADER.size))
        assert version == self.version
        return Asked(stream, opcode, self._take(length))

    def encoded(self, *frames: bytes) -> bytes:
        """Return the bytes of frames on this connection."""
        return segments(*frames) if self._in_segments else b"".join(frames)

    def send(self, *frames: bytes) -> None:
        """Send frames in one piece."""
        self.socket.sendall(self.encoded(*frames))

    def answer(self, asked: Asked, opcode: int = READY, body: bytes = b"") -> None:
        """Send the response to a request."""
        self.send(frame(self.version, asked.stream, opcode, body))

    def is_closed_by_client(self) -> bool:
        """Wait until the client closes the connection and return True; return False if it sends something instead."""
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def reset(self) -> None:
        """Close with RST, as the kernel does for a killed process."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._received += self._segment() if self._in_segments else self._some()
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _some(self) -> bytes:
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        return data

    def _segment(self) -> bytes:
        codec = segment_codec_no_compression
        head = self._exactly(codec.header_length_with_crc)
        header = codec.decode_header(io.BytesIO(head))
        rest = self._exactly(header.segment_length - len(head))
        payload: bytes = codec.decode(io.BytesIO(rest), header).payload
        return payload

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data


class ScriptedNode:
    """A listening node; each `accept` takes one connection."""

    def __init__(self, listener: socket.socket, version: int, tls: ssl.SSLContext | None) -> None:
        self._listener = listener
        self._version = version
        self._tls = tls
        self.port: int = listener.getsockname()[1]
        self.peers: list[Peer] = []

    def accept(self) -> Peer:
        """Return the next connection, before its handshake."""
        stream, _ = self._listener.accept()
        stream.settimeout(PATIENCE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # two pieces must arrive as two, at once
        if self._tls is not None:
            stream = self._tls.wrap_socket(stream, server_side=True)
        self.peers.append(Peer(stream, self._version))
        return self.peers[-1]

    def welcome(self) -> Peer:
        """Return the next connection, after its handshake."""
        peer = self.accept()
        peer.shake_hands()
        return peer

    def close(self) -> None:
        """Close the listener and all connections."""
        self._listener.close()
        for peer in self.peers:
            peer.socket.close()


@contextmanager
def scripted_node(
    version: int = 4, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[ScriptedNode]:
    """Run a node on a free port within the context."""
    listener = socket.create_server((host, 0))
    listener.settimeout(PATIENCE)
    node = ScriptedNode(listener, version, tls)
    try:
        yield node
    finally:
        node.close()


# --- responses


def frame(version: int, stream: int, opcode: int, body: bytes = b"", length: int | None = None) -> bytes:
    """Return a response frame; `length` replaces the real length of the body."""
    return _HEADER.pack(_RESPONSE | version, 0, stream, opcode, len(body) if length is None else length) + body


def segments(*frames: bytes) -> bytes:
    """Return frames in segments with checksums (version 5): small frames share one, a large frame takes several."""
    together = b"".join(frames)
    buffer = io.BytesIO()
    for payload in [together] if len(together) <= Segment.MAX_PAYLOAD_LENGTH else frames:
        segment_codec_no_compression.encode(buffer, payload)
    return buffer.getvalue()


def supported() -> bytes:
    """Return the body of SUPPORTED."""
    buffer = io.BytesIO()
    protocol.write_short(buffer, 2)
    for option, values in (("CQL_VERSION", ["3.4.7"]), ("COMPRESSION", [])):
        protocol.write_string(buffer, option)
        protocol.write_stringlist(buffer, values)
    return buffer.getvalue()


def rows(columns: list[tuple[str, int]], cells: list[bytes], *, paging_state: bytes | None = None) -> bytes:
    """Return the body of a RESULT with rows of one table; `cells` are in row order."""
    flags = 1 if paging_state is None else 3
    more = b"" if paging_state is None else int32(len(paging_state)) + paging_state
    described = b"".join(string(name) + struct.pack(">H", kind) for name, kind in columns)
    head = int32(protocol.RESULT_KIND_ROWS) + int32(flags) + int32(len(columns)) + more
    return head + string("ks") + string("t") + described + int32(len(cells) // len(columns)) + encoded([cells])


def error(code: int, message: str, rest: bytes = b"") -> bytes:
    """Return the body of an ERROR."""
    return int32(code) + string(message) + rest


# --- TLS


def tls_contexts(folder: Path, *, expired: bool = False) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a node and of a client that trusts only this node. Writes the files to `folder`."""
    certificate, key = folder / "node.crt", folder / "node.key"
    _self_signed(certificate, key, datetime.timedelta(hours=-1) if expired else datetime.timedelta(days=1))
    node = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    node.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(certificate)
    return node, client


def _self_signed(certificate: Path, key: Path, valid_for: datetime.timedelta) -> None:
    """Write a self-signed certificate of 127.0.0.1, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(
        name, name, secret.public_key(), x509.random_serial_number(), now - day, now + valid_for
    )
    builder = builder.add_extension(address, critical=False)
    signed = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    certificate.write_bytes(signed.sign(secret, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
