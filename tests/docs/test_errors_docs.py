"""The table of errors in the docs is made from the classes, and so is this check of the tree at the top of the module.

To renew the table: `python tests/docs/test_errors_docs.py`.
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
"""Bases that are never raised themselves."""


def subclasses(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in kind.__subclasses__():
        if child is not AnswerOverdue:  # clients see the code of its base class
            yield child
            yield from subclasses(child)


def table() -> str:
    lines = ["| status | code | title | when |", "|---|---|---|---|"]
    raised = [kind for kind in subclasses(ServiceError) if kind.__name__ not in ABSTRACT]
    for kind in sorted(raised, key=lambda kind: kind.status):  # sorting is stable: the order of the module stays
        when = " ".join((kind.__doc__ or "").split())
        lines.append(f"| {kind.status} | `{kind.code}` | {kind.title} | {when} |")
    return "\n".join(lines) + "\n"


def test_the_table_in_the_docs_is_the_one_of_the_classes() -> None:
    _, _, rest = PAGE.read_text().partition(BEGIN)
    written, _, _ = rest.partition(END)
    assert written == table()


def test_codes_are_unique_and_told_in_snake_case() -> None:
    codes = [kind.code for kind in subclasses(ServiceError) if kind.__name__ not in ABSTRACT]
    assert len(codes) == len(set(codes))
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


def test_every_class_stands_in_the_tree_with_its_status() -> None:
    tree = errors.__doc__ or ""
    for kind in subclasses(ServiceError):
        (line,) = [line for line in tree.splitlines() if f"── {kind.__name__} " in line]
        if kind.__name__ not in {"RequestError", "Unavailable"}:
            assert str(kind.status) in line


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
