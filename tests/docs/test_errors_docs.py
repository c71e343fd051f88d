"""docs/errors.md has exactly the table of the error classes, and the tree in asgi_app/errors.py has every class.

`python tests/docs/test_errors_docs.py` writes the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asgi_app import errors
from asgi_app.errors import AnswerOverdue, ServiceError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
BEGIN = "<!-- errors: made by tests/docs/test_errors_docs.py -->\n"
END = "<!-- end of errors -->\n"

ABSTRACT = {"RequestError", "Unavailable", "Overloaded", "ServiceError"}
"""Base classes that are never raised themselves."""


def subclasses(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in kind.__subclasses__():
        if child is not AnswerOverdue:  # clients see the code of its base class
            yield child
            yield from subclasses(child)


def table() -> str:
    lines = ["| status | code | title | when |", "|---|---|---|---|"]
    raised = [kind for kind in subclasses(ServiceError) if kind.__name__ not in ABSTRACT]
    for kind in sorted(raised, key=lambda kind: kind.status):  # a stable sort: classes of one status keep their order
        when = " ".join((kind.__doc__ or "").split())
        lines.append(f"| {kind.status} | `{kind.code}` | {kind.title} | {when} |")
    return "\n".join(lines) + "\n"


def test_page_has_the_generated_table() -> None:
    _, _, rest = PAGE.read_text().partition(BEGIN)
    written, _, _ = rest.partition(END)
    assert written == table()


def test_codes_are_unique_and_snake_case() -> None:
    codes = [kind.code for kind in subclasses(ServiceError) if kind.__name__ not in ABSTRACT]
    assert len(codes) == len(set(codes))
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


def test_tree_has_every_class_with_its_status() -> None:
    tree = errors.__doc__ or ""
    for kind in subclasses(ServiceError):
        (line,) = [line for line in tree.splitlines() if f"── {kind.__name__} " in line]
        if kind.__name__ not in {"RequestError", "Unavailable"}:
            assert str(kind.status) in line


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
