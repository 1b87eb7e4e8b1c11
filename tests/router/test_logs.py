"""The log: one line a request, machine-readable or for a terminal."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from providers.sandbox import Sandbox, overloaded
from router import logs
from tests.e2e.conftest import bench as bench
from tests.e2e.harness import Bench, Offer
from tests.e2e.talk import complete


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_a_request_is_one_line_of_json_with_its_decision_and_nothing_of_what_was_said(
    bench: Bench,
) -> None:
    out = io.StringIO()
    first: Sandbox = await bench.box()
    first.always(overloaded())
    second = await bench.box("openrouter")
    gateway = await bench.gateway([Offer(first, "first", "0.1"), Offer(second, "second", "9")])
    gateway.gateway.recorder.writers.append(requests := logs.RequestLog(out))
    said = await complete(gateway, messages=[{"role": "user", "content": "a secret recipe"}])
    requests.flush()
    lines = [json.loads(line) for line in out.getvalue().strip().split("\n")]
    (line,) = [line for line in lines if line["message"] == "request"]
    assert line["id"] == said.headers["x-generation-id"]
    assert (line["status"], line["provider"]) == (200, "second")
    assert [one["result"] for one in line["attempts"]] == ["overloaded", "success"]
    assert line["duration"] >= line["overhead"] > 0
    assert "secret recipe" not in out.getvalue()
    assert "Hello" not in out.getvalue()


async def test_on_a_terminal_a_request_is_a_line_to_read(bench: Bench) -> None:
    gateway = await bench.gateway([Offer(await bench.box(), "first", "0.1")])
    gateway.gateway.recorder.writers.append(requests := logs.RequestLog(out := Terminal()))
    said = await complete(gateway)
    requests.flush()
    assert out.getvalue().count("\n") == 1
    assert said.headers["x-generation-id"] in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_a_forged_line_or_escape_stays_inside_its_line(restored: None) -> None:
    hostile = 'x\n{"message": "request"}\r\x1b[31mred\x00\u2028'
    out, terminal = io.StringIO(), Terminal()
    for stream in (out, terminal):
        logs.set_up(stream)
        logging.getLogger("turnout").warning("odd name: %s", hostile)
    (line,) = out.getvalue().strip().split("\n")
    assert json.loads(line)["message"] == f"odd name: {hostile}"
    (shown,) = terminal.getvalue().strip().split("\n")
    assert "\x1b[31mred" not in shown
    assert "\r" not in shown


def test_an_exception_is_part_of_its_line(restored: None) -> None:
    out = io.StringIO()
    logs.set_up(out)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("turnout").exception("it failed")
    assert "ValueError: broken" in json.loads(out.getvalue())["exception"]
