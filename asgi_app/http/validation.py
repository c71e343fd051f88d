"""JSON bodies and query values → typed values, or an error that names every wrong field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar

import msgspec
import msgspec.inspect

from asgi_app.errors import FieldError, InvalidInput, MalformedJSON

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder(msgspec.Raw)
# Possessive, and content with a string that never ends: each byte is looked at once, whatever a client sends.
_string_literal = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)?', re.DOTALL)
_integer_literal = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class BodyDecoder(Generic[S]):
    """Decodes a JSON object into `struct`; the struct's types and `Meta` constraints are the rules.

    `check` is for rules that a type cannot say: it gets the decoded value and yields what is wrong with it.
    The struct must forbid unknown fields, so that a member nobody reads is an error and not a surprise.
    """

    def __init__(self, struct: type[S], check: Callable[[S], Iterable[FieldError]] | None = None) -> None:
        self._struct = struct
        self._decoder = msgspec.json.Decoder(struct)
        self._check = check
        self._fields = {field.encode_name: _Field(field) for field in msgspec.structs.fields(struct)}

    def decode(self, body: bytes | msgspec.Raw) -> S:
        """The value of `body`.

        Raises MalformedJSON where it is not JSON, InvalidInput where it is not `struct`.
        """
        errors, value = self.inspect(body)
        if value is None:
            raise InvalidInput(errors=tuple(errors))
        return value

    def inspect(self, body: bytes | msgspec.Raw, pointer: str = "") -> tuple[list[FieldError], S | None]:
        """Either no errors and the value, or the errors of the object at `pointer` and None."""
        try:
            errors, value = self._decode_or_inspect(body, pointer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _refuse_malformed(bytes(body), pointer, error)
        if errors:
            return errors, None
        found = [FieldError(pointer + e.field, e.message) for e in self._check(value)] if self._check else []
        return (found, None) if found else ([], value)

    def _decode_or_inspect(self, body: bytes | msgspec.Raw, pointer: str) -> tuple[list[FieldError], Any]:
        try:
            return [], self._decoder.decode(body)
        except msgspec.ValidationError:
            return self._inspect_members(body, pointer)

    def _inspect_members(self, body: bytes | msgspec.Raw, pointer: str) -> tuple[list[FieldError], Any]:
        """Decode member by member, the last of a name counting, to find every wrong one."""
        try:
            members = _members.decode(body)
        except msgspec.ValidationError:
            _anything.decode(body)  # raises where what comes after the first token is no JSON
            return [FieldError(pointer, "must be a JSON object")], None
        errors: list[FieldError] = []
        values: dict[str, Any] = {}
        for name, field in self._fields.items():
            if name not in members:
                if field.required:
                    errors.append(FieldError(f"{pointer}/{name}", "is required"))
                continue
            try:
                values[name] = field.decoder.decode(members[name])
            except msgspec.ValidationError as error:
                errors.append(FieldError(f"{pointer}/{name}", field.rule or _explain(error)))
        errors.extend(
            FieldError(f"{pointer}/{_escape(name)}", "is not a field of this resource")
            for name in members
            if name not in self._fields
        )
        return errors, None if errors else self._struct(**values)


class _Field:
    """A field of a struct by itself: `rule` is the `description` of its `Meta`, which then explains every mistake."""

    def __init__(self, field: msgspec.structs.FieldInfo) -> None:
        self.required = field.required
        self.decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(field.type)
        described = msgspec.inspect.type_info(field.type)
        extra = described.extra_json_schema if isinstance(described, msgspec.inspect.Metadata) else None
        self.rule = (extra or {}).get("description", "")


class ArrayDecoder(Generic[S]):
    """Decodes a JSON array of objects, or an object whose one member `wrapper` is that array."""

    def __init__(self, member: BodyDecoder[S], wrapper: str, longest: int) -> None:
        self._member = member
        self._wrapper = wrapper
        self._longest = longest
        self._bare = msgspec.json.Decoder(list[msgspec.Raw])

    def decode(self, body: bytes) -> list[S]:
        """The members, one to `longest` of them.

        Raises MalformedJSON, or InvalidInput whose errors carry each wrong member's index.
        """
        pointer, raw = self._unwrap(body)
        if not 1 <= len(raw) <= self._longest:
            raise InvalidInput(errors=(FieldError(pointer, f"must have 1 to {self._longest} members"),))
        errors: list[FieldError] = []
        values: list[S] = []
        for index, member in enumerate(raw):
            found, value = self._member.inspect(member, f"{pointer}/{index}")
            errors += found
            if value is not None:
                values.append(value)
        if errors:
            raise InvalidInput(errors=tuple(errors))
        return values

    def _unwrap(self, body: bytes) -> tuple[str, list[msgspec.Raw]]:
        try:
            if body.lstrip(b" \t\r\n").startswith(b"["):
                return "", self._members(body, "")
            outer = self._outer(body)
            self._expect_only_wrapper(outer)
            pointer = f"/{self._wrapper}"
            return pointer, self._members(outer[self._wrapper], pointer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _refuse_malformed(body, "", error)

    def _members(self, array: bytes | msgspec.Raw, pointer: str) -> list[msgspec.Raw]:
        try:
            return self._bare.decode(array)
        except msgspec.ValidationError:
            raise InvalidInput(errors=(FieldError(pointer, "must be a JSON array"),)) from None

    def _outer(self, body: bytes) -> dict[str, msgspec.Raw]:
        try:
            return _members.decode(body)
        except msgspec.ValidationError:
            _anything.decode(body)  # raises where what comes after the first token is no JSON
            raise InvalidInput(errors=(FieldError("", "must be a JSON array"),)) from None

    def _expect_only_wrapper(self, members: Mapping[str, msgspec.Raw]) -> None:
        errors = [
            FieldError(f"/{_escape(name)}", "is not a field of this resource")
            for name in members
            if name != self._wrapper
        ]
        if self._wrapper not in members:
            errors.append(FieldError(f"/{self._wrapper}", "is required"))
        if errors:
            raise InvalidInput(errors=tuple(errors))


def without_nul(value: msgspec.Struct) -> Iterator[FieldError]:
    """What is wrong where a text of `value` holds U+0000.

    Cassandra would store it, and then no tool that ends its strings with it could read the row.
    """
    for name, content in msgspec.structs.asdict(value).items():
        texts = enumerate(content) if isinstance(content, list) else [(None, content)]
        for index, text in texts:
            if isinstance(text, str) and "\0" in text:
                place = f"/{name}" if index is None else f"/{name}/{index}"
                yield FieldError(place, "must not hold the character U+0000")


class QueryValues:
    """Reads query parameters, gathers what is wrong with them, and raises once for all.

    Of a parameter given twice the last counts, as of a member named twice.
    """

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self._errors: list[FieldError] = []

    def integer(self, name: str, at_least: int, at_most: int) -> int | None:
        """The integer in plain decimal digits within its bounds, or None where the parameter is absent."""
        text = self._query.get(name)
        if text is None:
            return None
        if _integer_literal.fullmatch(text) and at_least <= int(text) <= at_most:
            return int(text)
        self.wrong(name, f"must be an integer from {at_least} to {at_most}")
        return None

    def text(self, name: str) -> str | None:
        """The parameter as it was sent, or None."""
        return self._query.get(name)

    def wrong(self, name: str, message: str) -> None:
        """Note that parameter `name` is wrong."""
        self._errors.append(FieldError(f"query.{name}", message))

    def check(self) -> None:
        """Raise InvalidInput if anything read so far was wrong."""
        if self._errors:
            raise InvalidInput(errors=tuple(self._errors))


def check_text(body: bytes) -> None:
    """Raise MalformedJSON where `body` is not UTF-8: msgspec looks only into the strings that it decodes."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedJSON("The body is not UTF-8.") from error


def check_depth(body: bytes, deepest: int) -> None:
    """Raise MalformedJSON where arrays and objects in `body` nest deeper than `deepest`."""
    if body.count(b"[") + body.count(b"{") <= deepest:
        return
    depth = 0
    for bracket in re.finditer(rb"[\[\]{}]", _string_literal.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > deepest:
            raise MalformedJSON(f"The body nests deeper than the {deepest} levels this service reads.")


def _explain(error: msgspec.ValidationError) -> str:
    """Return msgspec's sentence as what is said of a field: it names types and bounds, never the value sent."""
    message, _, path = str(error).partition(" - at `$")
    message = message.replace("Expected", "expected").replace("`", "")
    inside = path.rstrip("`")
    return f"is wrong: {message} at {inside}" if inside else f"is wrong: {message}"


def _refuse_malformed(body: bytes, pointer: str, cause: Exception) -> NoReturn:
    """Raise MalformedJSON, or InvalidInput where the grammar is right and a string is no Unicode text.

    msgspec reads neither; RFC 8259 section 8.2 lets the grammar hold what UTF-8 cannot encode.
    """
    if isinstance(cause, msgspec.DecodeError):
        fields = _fields_with_lone_surrogates(body, pointer)
        if fields:
            message = "is not Unicode text: it holds a lone surrogate"
            raise InvalidInput(errors=tuple(FieldError(field, message) for field in fields)) from cause
    raise MalformedJSON from cause


def _fields_with_lone_surrogates(body: bytes, pointer: str) -> list[str]:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    try:
        return list(_lone_surrogates(json.loads(body, parse_constant=refuse, parse_int=str), pointer))
    except (ValueError, RecursionError):
        return []


def _lone_surrogates(value: Any, pointer: str) -> Iterable[str]:
    if isinstance(value, str) and not _is_unicode(value):
        yield pointer
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _lone_surrogates(member, f"{pointer}/{index}")
    elif isinstance(value, dict):
        for name, member in value.items():
            if not _is_unicode(name):
                yield pointer
            yield from _lone_surrogates(member, f"{pointer}/{_escape(name)}")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _escape(name: str) -> str:
    """A member name as a JSON pointer token (RFC 6901 section 3), cut where a client sends a book."""
    text = name[:100].encode("utf-8", "replace").decode()
    return text.replace("~", "~0").replace("/", "~1")
