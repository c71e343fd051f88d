INTERFACE: int

def transcode(
    body: bytes, rows: int, kinds: bytes, names: tuple[bytes, ...], between: bytes, after: bytes, /
) -> bytes | None: ...
