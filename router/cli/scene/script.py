"""What the simulated providers are told to say, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from providers.sandbox import Answer, Tokens
from providers.sandbox.samples import PARALLEL_TOOLS, THINKING

MODEL: Final = "moonshotai/kimi-k2-thinking"


@dataclass(frozen=True, slots=True)
class Script:
    """The answers, step by step."""

    thinking: Answer
    tools: Answer
    weather: Answer
    """After the tools' results."""
    brief: Answer


SCRIPT: Final = Script(
    thinking=THINKING,
    tools=PARALLEL_TOOLS,
    weather=Answer(
        content="Zürich has 4 °C and fog, Kyoto (京都) 15 °C and sun: take a coat for the first only.",
        reasoning="Both look-ups are back. One sentence is enough.",
        tokens=Tokens(prompt=188, cached=96),
    ),
    brief=Answer(
        content="The points are set.",
        reasoning="A short one.",
        tokens=Tokens(prompt=24, completion=40),
    ),
)

QUESTION: Final = "Why is a railway switch called a turnout?"
ERRAND: Final = "Do I need a coat in Zürich, or in Kyoto?"
WEATHER: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city, now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string"}, "note": {"type": "string"}},
            "required": ["city"],
        },
    },
}
RESULTS: Final = ('{"celsius": 4, "sky": "fog"}', '{"celsius": 15, "sky": "sun"}')


def user(text: str) -> dict[str, Any]:
    """A user's message."""
    return {"role": "user", "content": text}
