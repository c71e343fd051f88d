"""`python -m benchmarks.export` measures each way to read a whole table on a real node."""

import msgspec
import pytest

from benchmarks import export

pytestmark = pytest.mark.long  # it starts a service and waits for loads of seconds


def test_report_has_each_way(node_address, capsys, tmp_path):
    host, port = node_address
    raw = tmp_path / "rows.json"
    options = ["--rows", "300", "--rounds", "1", "--seconds", "1", "--no-cqlsh", "--raw", str(raw)]
    assert export.main(["--node", f"{host}:{port}", *options]) == 0
    printed = capsys.readouterr().out
    assert "300 users, 1 rounds" in printed
    assert f"| {export.STREAM} |" in printed
    kept = msgspec.json.decode(raw.read_bytes())
    assert {row["contender"] for row in kept["rows"]} == {*export.PATHS, export.DRIVER, "asgi-cassandra"}
    assert all(value > 0 for row in kept["rows"] for value in row["figures"].values())
