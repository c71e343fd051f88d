"""What `/metrics` tells, read by Prometheus' own parser."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


class Figures(dict[Series, float]):
    """The samples of one scrape by name and labels; what is not there counts as 0."""

    def of(self, name: str, **labels: str) -> float:
        """The sample with exactly these labels."""
        return self.get((name, frozenset(labels.items())), 0.0)

    def sum(self, name: str) -> float:
        """Over every label."""
        return sum(value for (found, _), value in self.items() if found == name)

    def values_of(self, name: str, label: str) -> set[str]:
        """The values that a label has."""
        return {dict(labels)[label] for found, labels in self if found == name}


def figures(text: str) -> Figures:
    """The samples of a scrape; fails where the text is not what a scraper takes."""
    return Figures(
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


async def scrape(client: httpx.AsyncClient) -> Figures:
    """What the service tells a scraper now."""
    response = await client.get("/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert response.status_code == 200
    return figures(response.text)
