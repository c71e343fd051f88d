"""`python -m benchmarks.every_type` measures every scalar type on a real node."""

from benchmarks import every_type


def test_report_has_a_ratio_for_pages_and_loops(node_address, capsys):
    host, port = node_address
    assert every_type.main(["--node", f"{host}:{port}", "--rows", "50", "--rounds", "1"]) == 0
    head, _, _, _, pages, loop = capsys.readouterr().out.strip().splitlines()
    assert head.startswith("50 rows of 20 columns, 1 rounds")
    assert pages.startswith("| pages received before |")
    assert loop.startswith("| a whole loop |")
    assert all(float(cell) > 0 for line in (pages, loop) for cell in line.split("|")[2:5])
