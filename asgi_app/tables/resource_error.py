"""The error of declarations, and the mistake that is told before there is one: an option that there is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches


class ResourceError(TypeError):
    """Declarations have mistakes. `problems` has one sentence for each, and the error's text one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def refuse_unknown_options(kind: type, options: Iterable[str], name: object) -> None:
    """Raise ResourceError with each of the `options` that is no field of the dataclass `kind`.

    `name` is what the declaration is about: a table, a path.
    """
    known: Mapping[str, object] = getattr(kind, "__dataclass_fields__")  # noqa: B009
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ResourceError([f"{name}: {kind.__name__} has no option {each}.{_hint(each, known)}" for each in unknown])


def _hint(option: str, known: Iterable[str]) -> str:
    alike = get_close_matches(option, known, 1)
    return f" Did you mean {alike[0]}?" if alike else ""
