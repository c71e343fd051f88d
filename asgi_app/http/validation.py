"""Decode JSON bodies and query values into typed values, or raise an error that names every wrong field."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar

import msgspec
import msgspec.inspect

from asgi_app.errors import FieldError, InvalidInput, MalformedJSON

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder(msgspec.Raw)
# The quantifiers are possessive, and a string may lack its end. So each byte is examined only once, whatever a client
# sends.
_string_literal = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)?', re.DOTALL)
_message_with_place = re.compile(r"(.*?)(?: - at `\$([^`]*)`)?", re.DOTALL)
_integer_literal = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class BodyDecoder(Generic[S]):
    """Decodes a JSON object into `struct`, validated by the struct's types and `Meta` constraints.

    `check` is for rules that a type cannot express: it takes the decoded value and yields its errors. The struct must
    forbid unknown fields, so that a misspelled optional member is an error instead of being ignored.
    """

    def __init__(self, struct: type[S], check: Callable[[S], Iterable[FieldError]] | None = None) -> None:
        self._struct = struct
        self._decoder = msgspec.json.Decoder(struct)
        self._check = check
        self._fields = {field.encode_name: _Field(field) for field in msgspec.structs.fields(struct)}

    def decode(self, body: bytes | msgspec.Raw) -> S:
        """Decode `body`. Raises MalformedJSON if it is not JSON, InvalidInput if it is not a valid `struct`."""
        errors, value = self.inspect(body)
        if value is None:
            raise InvalidInput(errors=tuple(errors))
        return value

    def inspect(self, body: bytes | msgspec.Raw, pointer: str = "") -> tuple[list[FieldError], S | None]:
        """Decode the object at the JSON pointer `pointer`. Return no errors and the value, or the errors and None.

        Raises MalformedJSON if `body` is not JSON.
        """
        try:
            errors, value = self._decode(body, pointer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            refuse_malformed(bytes(body), pointer, error)
        if errors:
            return errors, None
        found = [FieldError(pointer + e.field, e.message) for e in self._check(value)] if self._check else []
        return (found, None) if found else ([], value)

    def _decode(self, body: bytes | msgspec.Raw, pointer: str) -> tuple[list[FieldError], Any]:
        try:
            return [], self._decoder.decode(body)
        except msgspec.ValidationError:  # it names only the first mistake
            return self._decode_members(body, pointer)

    def _decode_members(self, body: bytes | msgspec.Raw, pointer: str) -> tuple[list[FieldError], Any]:
        """Decode member by member, to find every wrong one. Of members with the same name, the last one counts."""
        members = _object_members(body)
        if members is None:
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
                errors.append(FieldError(f"{pointer}/{name}", field.rule or explain(error)))
        errors += _unknown_members(members, self._fields, pointer)
        return errors, None if errors else self._struct(**values)


class _Field:
    """Decodes one field of a struct. `rule` is the `description` of its `Meta`: the message for every mistake."""

    def __init__(self, field: msgspec.structs.FieldInfo) -> None:
        self.required = field.required
        self.decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(field.type)
        described = msgspec.inspect.type_info(field.type)
        extra = described.extra_json_schema if isinstance(described, msgspec.inspect.Metadata) else None
        self.rule = (extra or {}).get("description", "")


class ArrayDecoder(Generic[S]):
    """Decodes a JSON array of objects, or an object whose only member `wrapper` is that array."""

    def __init__(self, member: BodyDecoder[S], wrapper: str, longest: int) -> None:
        self._member = member
        self._wrapper = wrapper
        self._longest = longest
        self._bare = msgspec.json.Decoder(list[msgspec.Raw])

    def decode(self, body: bytes) -> list[S]:
        """Decode an array of 1 to `longest` members.

        Raises MalformedJSON if `body` is not JSON, InvalidInput if the array or a member is wrong; the errors of a
        member are at pointers with its index.
        """
        pointer, members = self._unwrap(body)
        if not 1 <= len(members) <= self._longest:
            raise InvalidInput(errors=(FieldError(pointer, f"must have 1 to {self._longest} members"),))
        errors: list[FieldError] = []
        values: list[S] = []
        for index, member in enumerate(members):
            found, value = self._member.inspect(member, f"{pointer}/{index}")
            errors += found
            if value is not None:
                values.append(value)
        if errors:
            raise InvalidInput(errors=tuple(errors))
        return values

    def _unwrap(self, body: bytes) -> tuple[str, list[msgspec.Raw]]:
        """Return the JSON pointer of the array in `body`, and the array's members."""
        try:
            if body.lstrip(b" \t\r\n").startswith(b"["):
                return "", self._members(body, "")
            pointer = f"/{self._wrapper}"
            return pointer, self._members(self._wrapped(body), pointer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            refuse_malformed(body, "", error)

    def _members(self, array: bytes | msgspec.Raw, pointer: str) -> list[msgspec.Raw]:
        try:
            return self._bare.decode(array)
        except msgspec.ValidationError:
            raise InvalidInput(errors=(FieldError(pointer, "must be a JSON array"),)) from None

    def _wrapped(self, body: bytes) -> msgspec.Raw:
        """Return the member `wrapper` of an object that has no other member."""
        members = _object_members(body)
        if members is None:
            raise InvalidInput(errors=(FieldError("", "must be a JSON array"),))
        errors = _unknown_members(members, (self._wrapper,), "")
        if self._wrapper not in members:
            errors.append(FieldError(f"/{self._wrapper}", "is required"))
        if errors:
            raise InvalidInput(errors=tuple(errors))
        return members[self._wrapper]


def nul_errors(value: msgspec.Struct) -> Iterator[FieldError]:
    """Yield an error for each text of `value` that contains U+0000.

    Cassandra would store it, but tools that use it to terminate strings could not read the row.
    """
    for name, content in msgspec.structs.asdict(value).items():
        texts = enumerate(content) if isinstance(content, list) else [(None, content)]
        for index, text in texts:
            if isinstance(text, str) and "\0" in text:
                place = f"/{name}" if index is None else f"/{name}/{index}"
                yield FieldError(place, "must not hold the character U+0000")


class QueryValues:
    """Reads query parameters and collects their errors, which `check` raises together.

    Of parameters with the same name, the last one counts, as with members of a body.
    """

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self._errors: list[FieldError] = []

    def integer(self, name: str, at_least: int, at_most: int) -> int | None:
        """Return the integer, in decimal digits and within the bounds, or None if the parameter is absent or wrong."""
        text = self._query.get(name)
        if text is None:
            return None
        if _integer_literal.fullmatch(text) and at_least <= int(text) <= at_most:
            return int(text)
        self.wrong(name, f"must be an integer from {at_least} to {at_most}")
        return None

    def text(self, name: str) -> str | None:
        """Return the parameter as it was sent, or None if it is absent."""
        return self._query.get(name)

    def wrong(self, name: str, message: str) -> None:
        """Record an error of the parameter `name`."""
        self._errors.append(FieldError(f"query.{name}", message))

    def check(self) -> None:
        """Raise InvalidInput if a parameter read so far was wrong."""
        if self._errors:
            raise InvalidInput(errors=tuple(self._errors))


def check_text(body: bytes) -> None:
    """Raise MalformedJSON if `body` is not UTF-8. msgspec checks only the strings that it decodes."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedJSON("The body is not UTF-8.") from error


def check_depth(body: bytes, deepest: int) -> None:
    """Raise MalformedJSON if arrays and objects in `body` nest deeper than `deepest` levels."""
    if body.count(b"[") + body.count(b"{") <= deepest:  # fast path: too few brackets to nest deeper
        return
    depth = 0
    for bracket in re.finditer(rb"[\[\]{}]", _string_literal.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > deepest:
            raise MalformedJSON(f"The body nests deeper than the {deepest} levels this service reads.")


def _object_members(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    """Return the undecoded members of a JSON object, or None for other JSON. Raises DecodeError if it is not JSON."""
    try:
        return _members.decode(body)
    except msgspec.ValidationError:
        _anything.decode(body)  # the decoder above stopped at the first token; what follows may not be JSON
        return None


def _unknown_members(members: Iterable[str], known: Container[str], pointer: str) -> list[FieldError]:
    message = "is not a field of this resource"
    return [FieldError(f"{pointer}/{_escape(name)}", message) for name in members if name not in known]


def explain(error: msgspec.ValidationError) -> str:
    """Return msgspec's message as the error of a field. It names types and bounds, never the value that was sent."""
    message, inside = _message_with_place.fullmatch(str(error)).groups()  # type: ignore[union-attr]  # any text
    message, regex, pattern = message.partition(" matching regex ")
    message = message.replace("Expected", "expected").replace("`", "")
    if regex:  # msgspec writes the pattern as Python does, with each backslash doubled
        message += f"{regex}'{ast.literal_eval(pattern)}'"
    return f"is wrong: {message} at {inside}" if inside else f"is wrong: {message}"


def refuse_malformed(body: bytes, pointer: str, cause: Exception) -> NoReturn:
    """Raise MalformedJSON, or InvalidInput if the only fault of `body` is a string with a lone surrogate.

    msgspec refuses both with the same error. RFC 8259 section 8.2 allows lone surrogates, which UTF-8 cannot encode.
    """
    if isinstance(cause, msgspec.DecodeError):
        fields = _fields_with_lone_surrogates(body, pointer)
        if fields:
            message = "is not Unicode text: it holds a lone surrogate"
            raise InvalidInput(errors=tuple(FieldError(field, message) for field in fields)) from cause
    raise MalformedJSON from cause


def _fields_with_lone_surrogates(body: bytes, pointer: str) -> list[str]:
    """Return the JSON pointers of strings with lone surrogates; none if `body` is not JSON.

    The standard library's parser accepts lone surrogates, so it can locate them. It runs only for a refused body, and
    gets text, because of bytes it accepts encoded surrogates too, which are not UTF-8.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    try:
        return list(_lone_surrogates(json.loads(body.decode(), parse_constant=refuse, parse_int=str), pointer))
    except (ValueError, RecursionError):
        return []


def _lone_surrogates(value: Any, pointer: str) -> Iterable[str]:
    """Yield the JSON pointers of strings with lone surrogates in `value`; a member's name counts for its object."""
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
    """Return a member name as a JSON pointer token (RFC 6901 section 3), cut to 100 characters."""
    text = name[:100].encode("utf-8", "replace").decode()
    return text.replace("~", "~0").replace("/", "~1")
