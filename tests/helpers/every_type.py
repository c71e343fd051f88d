"""A table with a column of every CQL type, also within others."""

from __future__ import annotations

from asgi_app.tables.types import NATIVE_TYPES, Native, UserType, parse_type

POINT = UserType("point", (("x", Native("int")), ("y", Native("text"))))
HOME = UserType("home", (("street", Native("text")), ("Flat", parse_type("frozen<point>", {"point": POINT}))))
USER_TYPES = {"point": POINT, "home": HOME}
CREATE_USER_TYPES = ("CREATE TYPE point (x int, y text)", 'CREATE TYPE home (street text, "Flat" frozen<point>)')

TEXTS = [
    *sorted(NATIVE_TYPES - {"counter"}),
    "list<int>",
    "frozen<list<duration>>",
    "set<text>",
    "frozen<set<int>>",
    "map<text, double>",
    "map<int, text>",
    "map<boolean, blob>",
    "map<decimal, int>",
    "map<timestamp, varint>",
    "map<float, inet>",
    "frozen<map<date, time>>",
    "map<uuid, frozen<set<text>>>",
    "map<frozen<tuple<int, text>>, int>",
    "map<frozen<point>, frozen<list<int>>>",
    "map<vector<int, 2>, text>",
    "frozen<tuple<int, text, frozen<set<bigint>>, duration>>",
    "home",
    "frozen<home>",
    "list<frozen<map<text, frozen<list<frozen<tuple<int, frozen<point>>>>>>>>",
    "vector<float, 3>",
    "vector<tinyint, 2>",
    "vector<boolean, 2>",
    "vector<date, 2>",
    "vector<decimal, 2>",
    "vector<text, 2>",
    "vector<frozen<point>, 2>",
    "vector<vector<smallint, 2>, 2>",
    "vector<list<text>, 1>",
]
TYPES = {f"c{at}": parse_type(text, USER_TYPES) for at, text in enumerate(TEXTS)}
