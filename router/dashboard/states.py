"""How providers and endpoints stand right now, in a word and a reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from router.catalogue import Catalogue, Endpoint, Provider
from router.dashboard import words
from router.facts import Tier
from router.health import Health

Word = Literal["on", "degraded", "down", "cooling", "ejected", "aside", "busy", "off", "gone"]

_TIERS: dict[Tier, tuple[Word, str]] = {
    Tier.DEGRADED: ("degraded", "its uptime of the last five minutes makes it a lower priority"),
    Tier.DOWN: ("down", "its uptime of the last five minutes makes it a fallback only"),
}
_SEVERITY: tuple[Word, ...] = ("on", "busy", "degraded", "cooling", "down", "ejected", "aside", "off", "gone")


@dataclass(frozen=True, slots=True)
class State:
    """One word for the badge, and why."""

    word: Word
    why: str = ""

    @property
    def tone(self) -> str:
        """The colour's meaning: ok, warn, bad, or off for what does not serve by choice."""
        if self.word in ("off", "gone"):
            return "off"
        if self.word in ("on", "busy"):
            return "ok"
        return "warn" if self.word in ("degraded", "cooling") else "bad"


ON = State("on")
GONE = State("gone", "no longer in the configuration; its history is kept")


def endpoint_state(endpoint: Endpoint, health: Health) -> State:
    """As this process sees it."""
    if endpoint.provider.off is not None:
        return State("off", endpoint.provider.off)
    standing = health.standing(endpoint)
    left = f"for another {_whole(standing.until - health.now())}"
    if standing.unavailable == "ejected":
        overdue = standing.until <= health.now()
        return State("ejected", "a probe decides now" if overdue else f"{left}, after failures in a row")
    if standing.unavailable == "cooling":
        return State("cooling", f"{left}: it asked us to slow down")
    if standing.unavailable == "provider_put_aside":
        reason = health.account(endpoint.provider.slug).aside_reason or "our account there has a problem"
        return State("aside", f"{left}: {reason}")
    if standing.unavailable == "max_concurrency":
        return State("busy", "as many requests under way as max_concurrency allows")
    if standing.outage:
        return State("down", "half or more of its newest attempts failed")
    word = _TIERS.get(standing.tier)
    return ON if word is None else State(*word)


def _whole(seconds: float) -> str:
    return f"{max(1, math.ceil(seconds))} s" if seconds < 60 else words.seconds(seconds)


def provider_state(provider: Provider, endpoints: Iterable[Endpoint], health: Health) -> State:
    """Of its endpoints the worst; where only some are affected, that is said."""
    if provider.off is not None:
        return State("off", provider.off)
    states = [(endpoint, endpoint_state(endpoint, health)) for endpoint in endpoints]
    ill = [(endpoint, state) for endpoint, state in states if state.tone in ("warn", "bad")]
    if not ill:
        return ON
    endpoint, worst = max(ill, key=lambda one: _SEVERITY.index(one[1].word))
    if worst.word == "aside":
        return worst
    where = endpoint.model_id if len(ill) == 1 else f"{len(ill)} of its {len(states)} endpoints"
    if len(ill) < len(states) and worst.tone == "bad":
        return State("degraded", f"{where} is {worst.word}: {worst.why}")
    return State(worst.word, f"{where}: {worst.why}" if where else worst.why)


def by_provider(catalogue: Catalogue) -> dict[str, list[Endpoint]]:
    out: dict[str, list[Endpoint]] = {slug: [] for slug in catalogue.providers}
    for model in catalogue.models.values():
        for endpoint in model.endpoints:
            out[endpoint.provider.slug].append(endpoint)
    return out


def all_ejected(endpoints: Sequence[Endpoint], health: Health) -> bool:
    """Nobody could serve it but as a last resort."""
    on = [endpoint for endpoint in endpoints if endpoint.provider.off is None]
    return bool(on) and all(endpoint_state(endpoint, health).word in ("ejected", "aside", "cooling") for endpoint in on)
