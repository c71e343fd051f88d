"""Read `/metrics` with Prometheus' own parser."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


class Figures(dict[Series, float]):
    """The samples of one scrape, by name and labels. A missing sample counts as 0."""

    def of(self, name: str, **labels: str) -> float:
        """Return the value of the sample with exactly these labels."""
        return self.get((name, frozenset(labels.items())), 0.0)

    def sum(self, name: str) -> float:
        """Return the sum of the samples with this name, over all labels."""
        return sum(value for (found, _), value in self.items() if found == name)

    def values_of(self, name: str, label: str) -> set[str]:
        """Return the values of a label."""
        return {dict(labels)[label] for found, labels in self if found == name}


def figures(text: str) -> Figures:
    """Parse the text of a scrape. Fails if it is not valid."""
    return Figures(
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


async def scrape(client: httpx.AsyncClient) -> Figures:
    """Scrape the service."""
    response = await client.get("/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert response.status_code == 200
    return figures(response.text)
