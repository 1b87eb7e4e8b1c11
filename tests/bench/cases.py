"""What is measured: requests, how many at once, and what the upstream answers."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.bench.client import Expected

EVENTS = 100
PACE = 0.004
"""Seconds between two events of a stream: slow enough that each travels alone, as a model's do."""
SENTENCE = "A turnout is the whole junction where one track becomes two. "
CONTENT = SENTENCE * 10
"""What the sandbox answers where nothing is streamed."""

WHOLE = ("--content", CONTENT)
STREAM = ("--events", str(EVENTS), "--between", str(PACE))


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request under closed-loop load."""

    name: str
    says: str
    connections: int
    messages: tuple[tuple[str, str], ...]
    """Role and content of each."""
    streamed: bool = False
    rate: float | None = None
    """Requests a second, whatever becomes of them; None: each connection asks again as soon as it is answered."""
    main: bool = False
    """Whether aims are about all peers in it."""

    @property
    def load(self) -> str:
        """How hard it is pressed, for people."""
        return f"{self.connections} at once" if self.rate is None else f"{self.rate:g} a second"

    @property
    def upstream(self) -> tuple[str, ...]:
        """How the sandbox is started for it."""
        return STREAM if self.streamed else WHOLE

    @property
    def units(self) -> int:
        """What the CPU time of a request is divided by: its events, or 1."""
        return EVENTS if self.streamed else 1

    @property
    def expected(self) -> Expected:
        if self.streamed:
            return Expected(b'" token"', EVENTS, b"data: [DONE]")
        return Expected(CONTENT.encode(), 1, b"}")

    def body(self, model: str) -> bytes:
        messages = [{"role": role, "content": content} for role, content in self.messages]
        asked = {"model": model, "messages": messages, "temperature": 0.6, "max_tokens": 1000}
        # Without spaces, as the SDKs of OpenAI write it.
        return json.dumps({**asked, "stream": True} if self.streamed else asked, separators=(",", ":")).encode()


_SMALL = (("system", "You are helpful."), ("user", "What is a turnout?"))


def _prompt(size: int) -> tuple[tuple[str, str], ...]:
    """One message of so many bytes, or a sentence less."""
    return (("user", SENTENCE * (size // len(SENTENCE))),)


_TURNS = tuple(("user" if turn % 2 == 0 else "assistant", SENTENCE * 3) for turn in range(299)) + _SMALL[1:]

CASES = (
    Case("small", "a short question", 1, _SMALL),
    Case("small", "a short question", 32, _SMALL, main=True),
    Case("small", "a short question", 256, _SMALL),
    Case("steady", "a short question", 64, _SMALL, rate=200.0),
    Case("prompt", "a prompt of 200 kB", 8, _prompt(200_000)),
    Case("turns", "a conversation of 300 turns", 8, _TURNS),
    Case("stream", f"a stream of {EVENTS} events", 32, _SMALL, streamed=True),
)

SIZES = tuple(
    Case("sizes", f"a prompt of {says}", 1, _prompt(size))
    for says, size in (
        ("1 kB", 1_000),
        ("10 kB", 10_000),
        ("100 kB", 100_000),
        ("1 MB", 1_000_000),
        ("8 MB", 8_000_000),
    )
)
"""What a request costs by its bytes: the largest last."""
