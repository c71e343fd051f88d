"""The schemas of values agree with what the service reads and writes."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from helpers.cql_values import ANY_TYPE, cells_of
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from asgi_app.driver.declared_types import codec_of_type
from asgi_app.openapi.components import Components, Names
from asgi_app.openapi.values import Values
from asgi_app.tables.encoding import WrongValue, encoder_of
from asgi_app.tables.types import CqlType, Native, UnknownType, freeze, parse_type, types_inside


def validator_of(form: str, cql_type: CqlType) -> Draft202012Validator:
    """Return a validator of the schema that the method `form` of `Values` makes."""
    components = Components({})
    schema = getattr(Values(components), form)(cql_type)
    return Draft202012Validator({**schema, "components": components.sections()})


def contains(cql_type: CqlType, name: str) -> bool:
    return cql_type == Native(name) or any(contains(inner, name) for inner in types_inside(cql_type))


@given(ANY_TYPE.flatmap(lambda cql_type: st.tuples(st.just(cql_type), cells_of(cql_type))))
def test_values_of_answers_fit_their_schemas(drawn: tuple[CqlType, bytes]) -> None:
    cql_type, cell = drawn
    shown = msgspec.json.decode(msgspec.json.encode(codec_of_type(cql_type).cell(cell)))
    validator_of("answer", cql_type).validate(shown)
    if not contains(cql_type, "duration"):  # a body's durations have fewer digits: see below
        validator_of("body", cql_type).validate(shown)


WRONG: list[tuple[str, Any]] = [
    ("ascii", "é"),
    ("bigint", 2**63),
    ("blob", "0x0"),
    ("boolean", "true"),
    ("decimal", "1."),
    ("double", "nan"),
    ("duration", "P1D"),
    ("duration", "-"),
    ("float", 1e39),
    ("frozen<list<int>>", [None]),
    ("frozen<map<int, text>>", {"1": None}),
    ("frozen<map<int, text>>", {"x": "a"}),
    ("frozen<tuple<int, text>>", [1]),
    ("frozen<tuple<int, text>>", [1, "a", 2]),
    ("inet", 1),
    ("int", "1"),
    ("int", 2**31),
    ("smallint", -(2**15) - 1),
    ("text", None),
    ("time", "24:00:00"),
    ("timeuuid", "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"),
    ("tinyint", 128),
    ("varint", "01"),
    ("vector<float, 2>", [1.0]),
]


@pytest.mark.parametrize(("cql", "value"), WRONG)
def test_what_the_service_refuses_does_not_fit(cql: str, value: Any) -> None:
    cql_type = parse_type(cql)
    assert not validator_of("body", cql_type).is_valid(value)
    with pytest.raises(WrongValue):
        encoder_of(cql_type).write(value)


DURATION = re.compile(Values(Components({})).key(Native("duration"))["pattern"])


@given(st.from_regex(DURATION, fullmatch=True))
def test_every_duration_of_the_schema_is_one(text: str) -> None:
    encoder_of(Native("duration")).write(text)


@given(ANY_TYPE.map(freeze).flatmap(lambda cql_type: st.tuples(st.just(cql_type), cells_of(cql_type))))
def test_values_in_addresses_fit_their_schemas(drawn: tuple[CqlType, bytes]) -> None:
    cql_type, cell = drawn
    if contains(cql_type, "duration"):
        return
    shown = msgspec.json.encode(codec_of_type(cql_type).cell(cell))
    components = Components({})
    parameter = Values(components).parameter(cql_type)
    schema = parameter["schema"] if "schema" in parameter else parameter["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": components.sections()}).validate(msgspec.json.decode(shown))


def test_a_type_that_nobody_knows_is_any_value() -> None:
    assert Values(Components({})).answer(UnknownType("'org.example.Strange'")) == {}


def test_names_differ_by_more_than_case_and_underscores() -> None:
    names = Names()
    wanted = ["events_row", "Events_Row", "eventsRow", "events row", "1st", "é", ""]
    given_out = [names.new(each) for each in wanted]
    assert given_out[0] == "events_row"
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in given_out)
    assert len({name.replace("_", "").lower() for name in given_out}) == len(wanted)
