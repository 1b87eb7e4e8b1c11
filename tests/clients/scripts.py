"""What the simulated providers say to the clients: all that is easily lost on the way."""

from __future__ import annotations

from dataclasses import replace

from providers.sandbox import Answer, Tokens, ToolCall, Wire
from providers.sandbox.samples import AWKWARD, PARALLEL_TOOLS
from tests.clients.lab import DIALECTS, Scene

RICH = Answer(
    content=(
        'Ich sehe nach: "Zürich" & 京都\\n \U0001f468\u200d\U0001f469\u200d\U0001f467 '
        "a\u2028b\u2029c\u0085d\u00a0</p>\r\n\t\x07 e\u0301"
    ),
    reasoning='Zwei Städte → zwei Aufrufe.\n\n考える\u2028\U0001f914 \\u0041 "quoted" C:\\temp \u0000 ende ',
    tool_calls=(
        ToolCall(
            "get_weather",
            '{"city": "Z\\u00fcrich", "note": "a\\\\b \\"c\\"\\n\u2028"}',
            fragments=('{"city": "Z\\', "u00fc", 'rich", ', '"note": "a\\', '\\b \\"c\\"\\', 'n\u2028"}'),
        ),
        ToolCall(
            "get_weather",
            '{ "city" : "京都", "deg" : 1.50e+1 }',
            fragments=("{ ", '"city" : "京', '都", "deg" : 1.50e+1 }'),
        ),
    ),
    tokens=Tokens(prompt=1207, completion=345, cached=512, reasoning=201),
    fragment=3,
    interleave=True,
)
"""Reasoning, content and two interleaved calls, with cached and reasoning tokens."""

_TEXT = '{"type":"reasoning.text","text":"%s","format":"anthropic-claude-v1","index":0}'
_SIGNATURE = "ErUBCkYIBxgCIkDx/2Zp+A=="

SIGNED = replace(
    RICH,
    reasoning="Zwei Städte.",
    reasoning_fragments=("Zwei ", "Städte."),
    reasoning_details=(
        f"[{_TEXT % 'Zwei '}]",
        f"[{_TEXT % 'Städte.'}]",
        f'[{{"type":"reasoning.text","signature":"{_SIGNATURE}","format":"anthropic-claude-v1","index":0}}]',
    ),
    whole_reasoning_details="[" + (_TEXT % "Zwei Städte.")[:-1] + f',"signature":"{_SIGNATURE}"}}]',
)
"""Reasoning as Claude gives it through OpenRouter: the signature comes alone, at its end."""

ENCRYPTED = replace(
    RICH,
    reasoning="",
    reasoning_details=(
        '[{"type":"reasoning.encrypted","data":"gAAAAABo/1+w==","id":"rs_1","format":"openai-responses-v1","index":0}]',
    ),
)
"""Reasoning as OpenAI gives it through OpenRouter: nothing to read."""

PLAIN = Answer(content="Grüße \U0001f686", tokens=Tokens(prompt=11, completion=3, reasoning=0), fragment=1)
"""No reasoning, no tools."""

LONG = replace(PLAIN, content="x\u2028y " * 40, finish_reason="length")
"""Cut by its length limit."""

ANSWERS = {
    "rich": RICH,
    "awkward": replace(AWKWARD, tokens=Tokens(prompt=77)),
    "parallel": PARALLEL_TOOLS,
    "plain": PLAIN,
    "long": LONG,
}

SPELLINGS = {
    "ascii": Wire(ascii=True, split=5, of=RICH),
    "crlf": Wire(line_end="\r\n", split=7, of=RICH),
    "terse": Wire(space=False, final_blank=False, of=RICH),
}
"""The rich answer, spelled in other ways."""


def scenes(dialect: str) -> list[Scene]:
    """Every answer, and the spellings of one, by one dialect."""
    plainly = [Scene(dialect, name, answer) for name, answer in ANSWERS.items()]
    return plainly + [Scene(dialect, name, RICH, played) for name, played in SPELLINGS.items()]


EVERY_SCENE = [scene for dialect in DIALECTS for scene in scenes(dialect)]
