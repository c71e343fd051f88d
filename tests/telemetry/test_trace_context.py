"""The `traceparent` header as the standard has it, wrong ones above all."""

from __future__ import annotations

import pytest

from asgi_app.telemetry.trace_context import trace_context

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "sent",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-00",
        f" \t00-{TRACE}-{SPAN}-ff ",
        f"01-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"fe-{TRACE}-{SPAN}-01-",
    ],
)
def test_a_valid_one(sent: str) -> None:
    assert trace_context([sent]) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0x-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{'٣' * 32}-{SPAN}-01",
    ],
)
def test_one_to_ignore(sent: str) -> None:
    assert trace_context([sent]) is None


def test_none_and_several_are_no_trace() -> None:
    valid = f"00-{TRACE}-{SPAN}-01"
    assert trace_context([]) is None
    assert trace_context([valid, valid]) is None
