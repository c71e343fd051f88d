"""The declaration of a setting: its variable, type, default, constraints and description.

The parser, the rules, the command line options and the table in docs/settings.md all read these declarations, so a new
setting is one new field of `Settings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from asgi_app.settings.values import Problem, Secret


def setting(
    env: str, description: str, allowed: str = "", *, keeps_case: bool = False, **constraints: Any
) -> msgspec.Meta:
    """Return the annotation that declares a field to be the setting of the variable `env`.

    `constraints` are those of `msgspec.Meta`. `allowed` describes the allowed values if constraints and type do not
    show them. Names in a list are in lower case, unless it `keeps_case`.
    """
    extra = {"env": env, "allowed": allowed, "keeps_case": keeps_case}
    return msgspec.Meta(description=description, extra=extra, **constraints)


class SettingField(NamedTuple):
    """One setting as declared: its field, its variable, the type of its value, its default and what it does."""

    name: str
    env: str
    type: Any
    default: Any
    description: str
    secret: bool
    allowed: str
    constraints: msgspec.Meta

    @property
    def choices(self) -> tuple[str | int, ...]:
        """The only values allowed, for a setting that lists them; otherwise empty."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def is_list(self) -> bool:
        """Whether the variable holds several values, separated by commas."""
        return get_origin(self.type) is tuple

    @property
    def keeps_case(self) -> bool:
        """Whether names in the list are different if their case is."""
        return bool((self.constraints.extra or {})["keeps_case"])

    def problem(self, message: str) -> Problem:
        """Return a problem with this setting, which also says what is allowed."""
        return Problem(self.env, f"{message}; allowed: {self.allowed}" if self.allowed else message)


def declared_fields(struct: type[msgspec.Struct]) -> tuple[SettingField, ...]:
    """Return the settings that `struct` declares, in the order of the documentation."""
    return tuple(_setting_field(field) for field in msgspec.structs.fields(struct))


def markdown_table(fields: Iterable[SettingField]) -> str:
    """Return the table in docs/settings.md: every variable, its default and what it does."""
    rows = (f"| `{field.env}` | {_default_text(field)} | {_explanation(field)} |" for field in fields)
    return "\n".join(("| Variable | Default | What it does |", "|---|---|---|", *rows))


def _setting_field(field: msgspec.structs.FieldInfo) -> SettingField:
    declared, meta = get_args(field.type)
    kind = _without_none(declared)
    return SettingField(
        name=field.name,
        env=meta.extra["env"],
        type=kind,
        default=field.default,
        description=meta.description,
        secret=Secret in (kind, *get_args(kind)),
        allowed=meta.extra["allowed"] or _allowed(kind, meta),
        constraints=meta,
    )


def _without_none(declared: Any) -> Any:
    kinds = get_args(declared)
    if type(None) not in kinds:
        return declared
    (kind,) = (kind for kind in kinds if kind is not type(None))
    return kind


def _allowed(kind: Any, meta: msgspec.Meta) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(str(choice) for choice in get_args(kind))
    if kind is bool:
        return "true, false, yes, no, on, off, 1, 0"
    if meta.le is None:
        return ""
    return f"{meta.ge} to {meta.le}" if meta.gt is None else f"more than {meta.gt}, at most {meta.le}"


def _default_text(field: SettingField) -> str:
    default = field.default
    if default is None or default == ():
        return "not set"
    if isinstance(default, tuple):
        return f"`{','.join(point.host for point in default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _explanation(field: SettingField) -> str:
    return f"{field.description} Allowed: {field.allowed}." if field.allowed else field.description
