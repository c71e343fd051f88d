"""The private parts of prometheus-client that the metrics use: an upgrade that removes one fails here by name."""

from pathlib import Path

from helpers.private_parts import missing, used_private_names

import asgi_app.telemetry

FOLDER = Path(asgi_app.telemetry.__file__).parent

PRIVATE_PARTS = (
    "prometheus_client.Histogram._buckets",
    "prometheus_client.Histogram._sum",
    "prometheus_client.Histogram._upper_bounds",
    "prometheus_client.multiprocess.MultiProcessCollector._accumulate_metrics",
    "prometheus_client.multiprocess.MultiProcessCollector._read_metrics",
    "prometheus_client.multiprocess.mark_process_dead",
    "prometheus_client.values.MutexValue._multiprocess",
    "prometheus_client.values.ValueClass",
)


def test_the_installed_version_has_all() -> None:
    assert missing(PRIVATE_PARTS) == []


def test_all_that_are_used_are_listed() -> None:
    listed = {part for name in PRIVATE_PARTS for part in name.split(".")}
    assert used_private_names(FOLDER) - listed == set()
