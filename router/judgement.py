"""How an endpoint stands: what was seen of it, judged by the thresholds."""

from __future__ import annotations

from config.schema import Health as Thresholds
from router.catalogue import Endpoint
from router.facts import Account, Facts, Standing, Tier

UNCACHED = 20_000
"""Prompt tokens of which none was cached, assumed beside those seen: little traffic tells little of a cache."""

UNSEEN = Standing()
"""Of whom nothing was seen lately: it stands so until something is."""


def judged(facts: Facts, rules: Thresholds, now: float) -> Standing:
    """How an endpoint stands by what was seen of it, whether or not it may be tried."""
    recent, lately = facts.recent, facts.lately
    facts.write_down()
    recent.advance(now)
    seen, failed = recent.good + recent.bad, recent.bad
    outage = seen >= rules.outage_min and failed >= rules.outage_error_rate * seen
    lately.advance(now)
    bad = lately.bad
    total = lately.good + bad
    tier = Tier.NORMAL
    if total >= rules.uptime_min_requests:
        uptime = lately.good / total
        if uptime < rules.down_below:
            tier = Tier.DOWN
        elif uptime < rules.degraded_below:
            tier = Tier.DEGRADED
    prompts = facts.prompts
    prompts.advance(now)
    facts.calls.advance(now)
    called_badly = facts.calls.bad
    # A failure or two of an endpoint hardly used must not price it out: at least ten are assumed.
    return Standing(
        outage=outage,
        tier=tier,
        error_rate=bad / max(total, 10),
        latency=facts.latency.spread(now, 300),
        throughput=facts.throughput.spread(now, 300),
        cached=prompts.good / (prompts.good + prompts.bad + UNCACHED),
        malformed=called_badly / max(facts.calls.good + called_badly, 10),
    )


def unavailability(endpoint: Endpoint, facts: Facts, now: float) -> tuple[str | None, float]:
    """Why an endpoint may not be tried just now, and when that ends; None: it may."""
    account = facts.account
    if account.aside_until > now:
        return "provider_put_aside", account.aside_until
    if facts.ejected_until is not None and (facts.ejected_until > now or facts.probing):
        return "ejected", facts.ejected_until
    if facts.cool_until > now:
        return "cooling", facts.cool_until
    return ("max_concurrency", now) if full(endpoint, account) else (None, 0.0)


def full(endpoint: Endpoint, account: Account) -> bool:
    """Whether as much is under way at the provider as may be."""
    most = endpoint.provider.max_concurrency
    return most is not None and account.in_flight >= most
