"""The requests a simulation serves: read from a file, or made up from a seed.

A file holds one JSON object a line:

    {"at": 12.5, "model": "moonshotai/kimi-k2", "prompt_tokens": 1200, "completion_tokens": 350,
     "max_tokens": 4000, "tools": true}

`at`, in seconds from any beginning, `max_tokens` and `tools` may be left out; without `at` requests come evenly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request. `at` in seconds; tokens as they were used in the end."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    at: float | None = None
    max_tokens: int | None = None
    tools: bool = False


class WorkloadError(ValueError):
    """The file cannot be used; the message says where and why."""


_decode = msgspec.json.Decoder(Item).decode


def read(path: Path, rate: float) -> list[Item]:
    """The requests of a file in order of time; those without `at` come `rate` a second. Raises WorkloadError."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise WorkloadError(f"{path}: {error.strerror or error}") from None
    items = [_item(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not items:
        raise WorkloadError(f"{path}: holds no request")
    timed = [
        msgspec.structs.replace(item, at=number / rate) if item.at is None else item
        for number, item in enumerate(items)
    ]
    return sorted(timed, key=_time)


def _item(path: Path, number: int, line: bytes) -> Item:
    try:
        item = _decode(line)
    except (ValueError, UnicodeError) as error:
        raise WorkloadError(f"{path}:{number}: {error}") from None
    if min(item.prompt_tokens, item.completion_tokens, 0 if item.at is None else item.at) < 0 or item.max_tokens == 0:
        raise WorkloadError(f"{path}:{number}: times and tokens must not be negative, max_tokens at least 1")
    return item


def _time(item: Item) -> float:
    return item.at or 0.0


KINDS = (
    # share, median prompt, its spread (σ of the logarithm), median answer, its spread, max_tokens, tools
    (0.60, 800, 1.0, 250, 0.8, None, False),  # chat
    (0.25, 12_000, 0.8, 300, 0.9, 8_000, True),  # agents
    (0.15, 60_000, 0.6, 800, 0.6, 16_000, False),  # documents
)
"""The made-up mix. Ours: the shapes are those of chat, of coding agents and of long documents; fit none to your own."""


def synthetic(models: Sequence[str], count: int, rate: float, seed: int) -> list[Item]:
    """Made-up requests for models drawn evenly, `rate` a second with random gaps; the same for the same seed."""
    rng = Random(seed)
    now = 0.0
    items = []
    for kind in rng.choices(KINDS, [kind[0] for kind in KINDS], k=count):
        now += rng.expovariate(rate)
        _, prompt, prompt_spread, answer, answer_spread, max_tokens, tools = kind
        completion = _lognormal(rng, answer, answer_spread)
        items.append(
            Item(
                at=now,
                model=rng.choice(models),
                prompt_tokens=_lognormal(rng, prompt, prompt_spread),
                completion_tokens=min(completion, max_tokens or completion),
                max_tokens=max_tokens,
                tools=tools,
            )
        )
    return items


def _lognormal(rng: Random, median: float, spread: float) -> int:
    return max(1, round(median * math.exp(spread * rng.gauss(0, 1))))
