"""Streams and answers that a provider could send when it is broken, made from a seed."""

from __future__ import annotations

from random import Random

TEXTS = ('"a"', '""', "null", '"\\ud83d"', '"<think>"', '"</think>x"', '"<|tool_calls_section_begin|>"', "[]", "7")
TEXTS += ('"\\u00e9\u2028"', '[{"type":"text","text":"b"}]', '[{"type":"thinking","thinking":[{"text":"c"}]}]', "{}")
TEXTS += ('"<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"', '"}<|tool_call_end|>"', '"x' * 3 + '"')
DETAILS = (
    "[]",
    "null",
    '[{"type":"reasoning.text","text":"t","index":0}]',
    '[{"type":"reasoning.text","signature":"S","index":0}]',
    '[{"type":"reasoning.encrypted","data":"E"}]',
    '[{"type":"reasoning.future","x":[{}]}]',
    "[7]",
    '"text"',
)
CALLS = (
    "[]",
    "null",
    "[7]",
    '[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]',
    '[{"index":0,"function":{"arguments":"{\\"a\\":"}}]',
    '[{"id":"b","function":{"name":"g","arguments":{"x":1}}}]',
    '[{"index":999999999999,"id":"","function":{"arguments":"1"}}]',
    '[{"index":null,"function":null},{"function":{"name":"f","arguments":"{}"}}]',
)
USAGES = ("null", "{}", '{"prompt_tokens":1,"completion_tokens":2}', '{"prompt_tokens":-1e999}', "[]", '"x"')
FINISHES = ("null", '""', '"stop"', '"length"', '"error"', '"eos"', "7", '"tool_calls"')
LINES = (
    ": ping",
    "data: [DONE]",
    "data:",
    "event: error",
    "id: 1",
    'data: {"error":{"message":"x","code":500}}',
    'data: {"error":null,"choices":[]}',
    'data: {"choices":null}',
    'data: {"message":"x"}',
    'data: {"choices":[],"usage":{"prompt_tokens":3}}',
    "data: {",
    "data: " + "[" * 2_000 + "]" * 2_000,
    "<html>",
    '{"choices":[{"message":{"content":"x"}}]}',
    "\ufeff",
)
ENDS = ("\n\n", "\n\n", "\n\n", "\r\n\r\n", "\r\r", "\n", "")


def event(random: Random) -> str:
    """One event, most of them sound."""
    if random.random() < 0.15:
        return random.choice(LINES) + random.choice(ENDS)
    choice = f'"index":{random.choice((0, 0, 0, 0, 1, 10**30, -1))},"delta":{{{members(random)}}}'
    if random.random() < 0.3:
        choice += f',"finish_reason":{random.choice(FINISHES)}'
    more = f',"usage":{random.choice(USAGES)}' if random.random() < 0.2 else ""
    return f'data: {{"choices":[{{{choice}}}]{more}}}' + random.choice(ENDS)


def members(random: Random, often_as: float = 1.0) -> str:
    """Of a delta or a message."""
    chosen = {
        name: random.choice(values)
        for name, values, often in (
            ("role", ('"assistant"', "null", "7"), 0.2),
            ("content", TEXTS, 0.6),
            ("reasoning_content", TEXTS, 0.3),
            ("reasoning", TEXTS, 0.2),
            ("reasoning_details", DETAILS, 0.3),
            ("tool_calls", CALLS, 0.3),
            ("x", TEXTS, 0.1),
        )
        if random.random() < often * often_as
    }
    return ",".join(f'"{name}":{value}' for name, value in chosen.items())


def stream(random: Random) -> bytes:
    """A stream, often damaged."""
    return damaged(random, "".join(event(random) for _ in range(random.randrange(8))))


def answer(random: Random) -> bytes:
    """A complete answer, often damaged."""
    choices = []
    for _ in range(random.choice((0, 1, 1, 1, 2))):
        message = members(random, 1.4)
        finish = f',"finish_reason":{random.choice(FINISHES)}' if random.random() < 0.8 else ""
        choices.append(f'{{"index":0,"message":{{{message}}}{finish}}}')
    more = f',"usage":{random.choice(USAGES)}' if random.random() < 0.5 else ""
    return damaged(random, f'{{"id":"x","choices":[{",".join(choices)}]{more}}}')


def damaged(random: Random, text: str) -> bytes:
    data = bytearray(text.encode())
    for _ in range(random.choice((0, 0, 0, 1, 2, 5))):
        if data:
            at = random.randrange(len(data))
            kind = random.randrange(4)
            if kind == 0:
                data[at] = random.randrange(256)
            elif kind == 1:
                del data[at : at + random.randrange(1, 20)]
            elif kind == 2:
                data[at:at] = bytes(random.randrange(256) for _ in range(random.randrange(1, 8)))
            else:
                del data[at:]
    return bytes(data)


def cut(random: Random, data: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    size = random.choice((1, 2, 7, 40, 1_000))
    return [data[at : at + size] for at in range(0, len(data), size)]
