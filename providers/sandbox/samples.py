"""Answers to show: a K2-Thinking-like one at a lifelike pace, and one with two parallel tool calls."""

from __future__ import annotations

from typing import Final

from providers.sandbox.answer import Answer, Tokens, ToolCall
from providers.sandbox.timing import Slow

_REASONING = (
    "The user wants to know why a railway switch is called a turnout. "
    "Let me think about the parts: the switch rails move, the frog is where the rails cross, and the guard "
    "rails keep the flange on the right path. Strictly, the *switch* is only the moving part; the whole "
    "assembly is the turnout. I should say that briefly and give one picture to hold on to."
)
_CONTENT = (
    "A **turnout** is the whole junction where one track becomes two; "
    "the *switch* is only its moving rails.\n\n"
    "1. The points move and choose the track.\n"
    "2. The frog lets one rail cross the other.\n"
    "3. Guard rails hold the wheels on their way.\n\n"
    "So a turnout does not carry the train. It sends each one down the right track → 転轍機 🚆"
)

THINKING: Final = Answer(
    content=_CONTENT,
    reasoning=_REASONING,
    tokens=Tokens(prompt=24, cached=8),
    fragment=5,
)
"""Reasoning, then Markdown with Unicode in it."""

THINKING_AT_A_PACE: Final = Slow(first_token=0.35, between=0.012, of=THINKING)
"""The same, about 80 deltas a second."""

PARALLEL_TOOLS: Final = Answer(
    content="",
    reasoning="Two cities, two independent look-ups: I can ask for both at once.",
    tool_calls=(
        ToolCall("get_weather", '{"city": "Zürich", "unit": "celsius"}'),
        ToolCall("get_weather", '{"city": "京都", "note": "say \\"hello\\"\\n"}'),
    ),
    tokens=Tokens(prompt=96),
    interleave=True,
)
"""Two parallel calls whose arguments arrive in turns, with escapes and Unicode."""

AWKWARD: Final = Answer(
    content=(
        'quotes " and \\ backslash\n\ttab, 日本語, 🚆 \U0001f469\u200d\U0001f467, '
        "line\u2028and\u2029paragraph, nel\u0085, </script>"
    ),
    reasoning='a "thought" — \\u0041 is no escape here\r\n考える \U0001f914\u2028',
    tool_calls=(
        ToolCall(
            "run",
            '{"code": "print(\\"\\u00e9\\n\\")", "path": "C:\\\\x"}',
            fragments=('{"code": "print(\\', '"\\u00', 'e9\\n\\")", ', '"path": "C:\\', '\\x"}'),
        ),
    ),
    fragment=3,
)
"""Everything that is easily lost: escapes split in the middle, U+2028, U+0085, joined emoji."""
