"""`turnout demo`: the scene succeeds, and would say so if it did not."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from rich.console import Console

from config.load import load
from providers.sandbox import ToolCall
from router.cli.demo import demo, listen, present
from router.cli.scene.rig import configuration
from router.cli.scene.script import SCRIPT, Script
from router.cli.scene.typewriter import Typewriter

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "router", "demo"]


def environment() -> dict[str, str]:
    """Without anything that makes rich believe in a terminal, and without keys or proxies of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "COLUMNS": "80", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


def test_once_plays_the_whole_scene_without_keys_and_exits_0() -> None:
    done = subprocess.run(
        [*COMMAND, "--once"], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=100
    )
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert done.stderr == ""
    assert "✗" not in re.sub(r"attempt \d  ✗", "", said)
    assert said.count("  ✓ ") == 8  # six verdicts and the attempts that succeeded
    for expected in (
        "│ The user wants to know",
        "the right track",
        '→ get_weather({"city": "Zürich", "unit": "celsius"})',
        "attempt 1  ✗ OpenRouter",
        "attempt 2  ✗ Moonshot AI",
        "attempt 3  ✓ CometAPI",
        "Moonshot AI died after",
        "OpenRouter is ejected",
        "OpenRouter is up again",
        "moonshot/int4   $0.60   $2.50",
        "/dashboard",
    ):
        assert expected in said
    assert "\x1b" not in said, "control codes in a pipe"
    assert max(len(line) for line in said.split("\n")) <= 80


class Playing:
    """The demo as a process, up and past its scene."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.said = ""
        for line in process.stdout:
            self.said += line
            if "Ctrl-C to stop" in line:
                break

    @property
    def base_url(self) -> str:
        found = re.search(r"base URL +(\S+)", self.said)
        assert found is not None, self.said
        return found[1]


@pytest.fixture
def playing() -> Iterator[Playing]:
    with subprocess.Popen(
        [*COMMAND, "--port", "0"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Playing(process)
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_it_stays_up_for_the_users_own_requests_and_ctrl_c_ends_it_at_once_and_cleanly(playing: Playing) -> None:
    body = {"model": "moonshotai/kimi-k2-thinking", "messages": [{"role": "user", "content": "What is a turnout?"}]}
    answer = httpx.post(f"{playing.base_url}/chat/completions", json=body, timeout=20, trust_env=False).json()
    assert answer["choices"][0]["message"]["content"] == SCRIPT.thinking.content
    playing.process.send_signal(signal.SIGINT)
    said, complained = playing.process.communicate(timeout=10)
    assert (playing.process.returncode, complained) == (0, "")
    assert said.endswith("Stopped.\n")


async def test_providers_that_answer_otherwise_are_noticed_in_every_step() -> None:
    other = Script(
        thinking=replace(SCRIPT.thinking, content="Something else.", reasoning="No thought."),
        tools=replace(SCRIPT.tools, tool_calls=(ToolCall("get_weather", "{}"),)),
        weather=SCRIPT.weather,
        brief=replace(SCRIPT.brief, content="The points are set!"),
    )
    out = io.StringIO()
    console = Console(file=out, width=200)
    good = await present(console, listen(0, True, console), once=True, script=other)
    said = out.getvalue()
    assert good is False
    for complaint in (
        f"✗ the reasoning: expected {SCRIPT.thinking.reasoning[:50]!r}"[:-1],
        "✗ the answer: expected",
        "got 'Something else.'",
        "✗ the tool calls: expected",
        "✗ answers that are not the script's: expected [], got ['The points are set!'",
        "Something above did not hold",
    ):
        assert complaint in said
    assert "\n  ✓" not in said.partition("The endpoints now")[0]


def test_once_exits_1_where_the_scene_did_not_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(console: Console, listener: socket.socket, *, once: bool) -> bool:
        listener.close()
        return False

    monkeypatch.setattr(sys.modules["router.cli.demo"], "present", fails)
    assert CliRunner().invoke(demo, ["--once"]).exit_code == 1


def test_a_taken_default_port_gives_way_and_says_so() -> None:
    out = io.StringIO()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 8080))
        except OSError:
            pass  # somebody has it: as good
        else:
            other.listen()
        listener = listen(None, False, Console(file=out))
    assert listener.getsockname()[1] != 8080
    listener.close()
    assert "8080 is taken" in out.getvalue()


async def test_events_are_written_as_they_come_without_nagles_delay() -> None:
    accepted: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = writer.get_extra_info("socket")
        accepted.set_result(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen(None, True, Console()) as listener:
        async with await asyncio.start_server(connected, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert await accepted
            writer.close()


def test_a_port_asked_for_that_is_taken_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "--port", str(port)], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_the_configuration_it_shows_is_a_valid_one_with_the_catalogues_prices(tmp_path: Path) -> None:
    file = tmp_path / "turnout.yaml"
    urls = {"openrouter": "http://127.0.0.1:1/api/v1", "moonshot": "http://127.0.0.1:2/v1"}
    file.write_text(configuration(8080, urls))
    settings = load(file, {}).settings
    prices = {one.provider: str(one.price.prompt) for one in settings.models["moonshotai/kimi-k2-thinking"].endpoints}
    assert prices == {"openrouter": "0.40", "moonshot": "0.60"}


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_streamed_text_is_folded_at_words_whatever_its_fragments(size: int) -> None:
    out = io.StringIO()
    writer = Typewriter(Console(file=out, width=20), "  ")
    thought, answer = "one two three four five", "six\n\nseven  eight 転轍機転轍機 nine"
    for kind, text in (("reasoning", thought), ("content", answer)):
        for at in range(0, len(text), size):
            writer.heard(kind, text[at : at + size])
    writer.end()
    assert out.getvalue() == ("  │ one two three\n  │ four five\n  six\n\n  seven  eight\n  転轍機転轍機 nine\n")
