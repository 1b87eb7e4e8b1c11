"""A ledger's past, made up the same way every time: traffic by the hour, a provider that had a bad afternoon."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from random import Random

import msgspec
from msgspec.structs import replace

from router.state.values import AttemptRow, Row

KEYS = (("a" * 64, "Platform team"), ("b" * 64, "Coding agents"), ("c" * 64, "Nightly evals"))
APPS = ("Aider", "Support desk", "https://docs.example/assistant", None)
PRICES = {"moonshot": ("0.60", "2.50"), "cometapi": ("1.10", "4.40"), "openrouter": ("0.40", "1.75")}
NAMES = {"moonshot": "Moonshot AI", "cometapi": "CometAPI", "openrouter": "OpenRouter"}
FIRST = {"moonshot": 0.42, "cometapi": 0.9, "openrouter": 0.65}
RATE = {"moonshot": 78.0, "cometapi": 41.0, "openrouter": 55.0}
MODELS = ("moonshotai/kimi-k2-thinking", "moonshotai/kimi-k2-thinking-turbo")
ORDERS = (("openrouter", "moonshot"), ("moonshot", "openrouter"), ("cometapi", "moonshot"))
HOUR = 3600


def rows(now: float, hours: int, seed: int = 7, busiest: int = 60) -> Iterator[Row]:
    """Requests of the last `hours`, oldest first."""
    rng = Random(seed)
    for back in range(hours, 0, -1):
        wave = 0.35 + 0.65 * max(0.0, math.sin((now / HOUR - back) % 24 / 24 * math.tau - 1.9))
        started = now - back * HOUR
        for at in sorted(rng.uniform(0, HOUR) for _ in range(round(busiest * wave * rng.uniform(0.8, 1.2)))):
            yield _row(rng, started + at, 26 <= back <= 29)


def _row(rng: Random, at: float, outage: bool) -> Row:
    order = rng.choices([("openrouter", "moonshot"), ("moonshot", "openrouter"), ("cometapi", "moonshot")], (5, 3, 1))[
        0
    ]
    model = rng.choices(MODELS, (3, 1))[0]
    key, name = rng.choices(KEYS, (3, 5, 1))[0]
    attempts: list[AttemptRow] = []
    for slug in order:
        attempt = _attempt(rng, slug, model, 0.55 if outage and slug == "openrouter" else 0.006)
        attempts.append(replace(attempt, started=0.0003 + sum(one.duration for one in attempts)))
        if attempt.result == "success":
            break
    last = attempts[-1]
    served = last.result == "success"
    prompt = int(rng.lognormvariate(8.2, 0.9))
    cached = int(prompt * rng.choice((0, 0, 0.4, 0.8)))
    reasoning, completion = int(rng.lognormvariate(5.6, 0.7)), int(rng.lognormvariate(4.9, 0.8))
    rates = [Decimal(one) for one in PRICES[last.provider]]
    cost = (prompt * rates[0] + (completion + reasoning) * rates[1]) / 1_000_000 if served else Decimal(0)
    title = rng.choices(APPS, (5, 3, 2, 2))[0]
    return Row(
        id=f"gen-{int(at)}-{rng.randbytes(6).hex()}",
        created=at,
        requested=model,
        status=200 if served else 502,
        decision=msgspec.Raw(json.dumps(_decision(order, model, last, attempts)).encode()),
        key=key,
        key_name=name,
        model=model if served else None,
        provider=last.provider if served else None,
        provider_name=NAMES[last.provider] if served else None,
        tag=last.tag if served else None,
        stream=True,
        finish_reason="stop",
        first_token=last.first_token,
        duration=sum(one.duration for one in attempts) + 0.0004,
        generation=last.duration - (last.first_token or 0),
        overhead=0.0004,
        prompt=prompt if served else 0,
        cached=cached if served else 0,
        reasoning=reasoning if served else 0,
        completion=completion + reasoning if served else 0,
        cost=cost,
        title=title,
        user_agent="OpenAI/Python 2.1.0",
        attempts=tuple(attempts),
    )


def _attempt(rng: Random, slug: str, model: str, failing: float) -> AttemptRow:
    if rng.random() < failing:
        result, status, error = rng.choice(
            (("overloaded", 529, "The model is overloaded"), ("first_token_timeout", 504, "no first token within 10 s"))
        )
        return AttemptRow(slug, NAMES[slug], model, slug, status, result, error, rng.uniform(0.2, 1.1))
    first = FIRST[slug] * rng.lognormvariate(0, 0.35)
    duration = first + rng.lognormvariate(5.8, 0.6) / RATE[slug] / rng.lognormvariate(0, 0.1)
    return AttemptRow(slug, NAMES[slug], model, slug, 200, "success", None, duration, first)


def _decision(order: tuple[str, ...], model: str, last: AttemptRow, attempts: list[AttemptRow]) -> dict[str, object]:
    others = [slug for slug in NAMES if slug not in order]
    return {
        "requested": model,
        "strategy": "price",
        "summary": f"{last.name} served {model}" + (f" after {attempts[0].tag} failed" if len(attempts) > 1 else ""),
        "endpoints": {
            "total": 3,
            "available": [
                {
                    "provider": NAMES[slug],
                    "model": model,
                    "tag": slug,
                    "selected": slug == last.provider,
                    "expected_cost": 0.0031,
                    "chance": 0.6 if place == 0 else 0.4 if place == 1 else 0.0,
                    "excluded_by": "context_length" if slug in others else None,
                    "demoted_by": [],
                }
                for place, slug in enumerate((*order, *others))
            ],
        },
    }
