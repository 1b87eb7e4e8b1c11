"""The ledger's row of a request: what is summed, what is kept of the decision, and how it is told again."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from providers.errors import Broken, Cancelled, RateLimited, ServerFault
from providers.usage import Usage
from router.decision import Decision, Rescued
from router.facts import Standing, Tier
from router.ledger import row
from router.outcome import Outcome
from router.plan import Plan
from router.recorded import metadata
from router.request import Caller, Request
from router.served import Served
from router.state import codec
from router.state.values import Grant, Row
from tests.router.fakes import MODEL, World, ask, offer, world

USD = Decimal
NOW = 1_800_000_000.0


def attempt(w: World, tag: str, started: float = 10.0, duration: float = 1.0, **fields: Any) -> Outcome:
    endpoint = w.endpoint(tag)
    return Outcome("gen-1", endpoint, started, duration, **{"error": None, "stream": True, **fields})


def decided(plan: Plan, *attempts: Outcome, selected: Outcome | None = None, **body: Any) -> Decision:
    at = selected.endpoint if selected is not None else None
    return Decision(ask(**body), plan, list(attempts), at, received=9.5)


def served(decision: Decision, status: int = 200, duration: float = 3.0, **request: Any) -> Served:
    return Served(Request("gen-1", received=9.5, **{"headers": {}, **request}), decision, status, duration)


def stored(one: Served) -> Row:
    """As a store gives it back."""
    return codec.row(codec.encode(row(one, NOW)))


def several() -> World:
    w = world(
        offer("cheap", 1),
        offer("dear", 3),
        offer("slow", 2),
        offer("off", 1),
        models={"acme/two": {"endpoints": [offer("cheap", 2), offer("other", 4)]}},
        fallbacks=["acme/two"],
        off={"off": "its key is missing"},
    )
    w.standings["slow"] = Standing(tier=Tier.DEGRADED, error_rate=0.2)
    w.standings["dear"] = Standing(error_rate=0.05)
    return w


def plain() -> Decision:
    w = several()
    one = attempt(w, "cheap", first_token=0.123456789, usage=Usage(10, 5), cost=USD("0.0001"))
    return decided(w.plan(), one, selected=one)


def drawn() -> Decision:
    w = world(offer("cheap", 1), offer("dear", 3), offer("free", 0), offer("gratis", 0))
    w.standings["dear"] = Standing(error_rate=0.05)
    one = attempt(w, "cheap")
    return decided(w.plan(), one, selected=one)


def priced() -> Decision:
    w = world(offer("cheap", 1), offer("dear", 3), offer("failing", 1))
    w.standings["failing"] = Standing(error_rate=0.25)
    one = attempt(w, "cheap")
    return decided(w.plan(), one, selected=one)


def fallen_back() -> Decision:
    w = several()
    failed = attempt(w, "cheap", error=ServerFault("it said 500", upstream_status=500))
    limited = attempt(w, "slow", 11.0, error=RateLimited("slow down"), upstream_status=429)
    last = attempt(w, "dear", 12.0, 0.1234567)
    return decided(w.plan(), failed, limited, last, selected=last)


def hedged() -> Decision:
    w = several()
    beaten = attempt(w, "cheap", error=Cancelled("another endpoint was faster"))
    won = attempt(w, "dear", 10.5, hedged=True)
    return decided(w.plan(), beaten, won, selected=won)


def rescued() -> Decision:
    w = several()
    broke = attempt(w, "cheap", error=Broken("reset"), first_token=0.1)
    carried = attempt(w, "dear", 11.5, rescue="continue")
    decision = decided(w.plan(), broke, carried, selected=carried)
    decision.rescues.append(Rescued("continue", "success", "cheap", "dear"))
    return decision


def nobody() -> Decision:
    w = several()
    failed = [attempt(w, tag, error=ServerFault("500")) for tag in ("cheap", "dear")]
    return decided(w.plan(), *failed)


def none_asked() -> Decision:
    w = several()
    return decided(w.plan(provider={"only": ["off"]}))


def ordered() -> Decision:
    w = several()
    one = attempt(w, "dear")
    return decided(w.plan(provider={"order": ["dear", "slow"]}), one, selected=one, provider={"oder": ["dear"]})


def sorted_by_price() -> Decision:
    w = several()
    one = attempt(w, "cheap")
    return decided(w.plan(provider={"sort": {"by": "price", "partition": "none"}}), one, selected=one, model=MODEL)


@pytest.mark.parametrize(
    "made",
    [plain, drawn, priced, fallen_back, hedged, rescued, nobody, none_asked, ordered, sorted_by_price],
    ids=lambda it: it.__name__,
)
def test_a_stored_decision_is_told_as_its_client_could_have_had_it(made: Any) -> None:
    decision = made()
    found = stored(served(decision, 200 if decision.selected else 502))
    assert json.loads(bytes(metadata(found))) == json.loads(decision.metadata())


def test_the_decision_of_an_older_row_is_told_as_it_was_stored() -> None:
    old = codec.row(b'{"id":"gen-1","created":1.0,"requested":"m","status":200,"decision":{"requested":"m"}}')
    assert bytes(metadata(old)) == b'{"requested":"m"}'


def test_a_row_of_a_usual_request_is_small() -> None:
    assert len(codec.encode(row(served(plain()), NOW))) < 1000


def test_tokens_and_cost_are_summed_over_attempts_and_the_last_says_how_it_ended() -> None:
    w = several()
    first = attempt(w, "cheap", error=Broken("reset"), usage=Usage(10, 2, 4, 1, 1, USD("0.1")), cost=USD("0.01"))
    last = attempt(
        w,
        "dear",
        11.0,
        2.0,
        first_token=0.5,
        usage=Usage(20, 7),
        cost=USD("0.02"),
        estimated=True,
        finish_reason="stop",
    )
    found = stored(served(decided(w.plan(), first, last, selected=last), duration=3.5))
    assert (found.prompt, found.completion, found.cached, found.cache_write, found.reasoning) == (30, 9, 4, 1, 1)
    assert (found.cost, found.upstream_cost, found.estimated) == (USD("0.03"), USD("0.1"), True)
    assert (found.finish_reason, found.first_token, found.generation) == ("stop", 0.5, 1.5)
    assert (found.provider, found.provider_name, found.model, found.tag) == ("dear", "Dear", MODEL, "dear")
    assert [one.started for one in found.attempts] == [0.5, 1.5]
    assert (found.requested, found.status, found.key, found.key_name, found.session) == (MODEL, 200, "", "", None)
    assert (found.stream, found.cancelled, found.native_finish_reason) == (False, False, None)
    assert (found.duration, found.overhead) == (3.5, 0.5)


def test_a_request_that_nobody_served_says_so() -> None:
    found = stored(served(none_asked(), 404))
    assert (found.model, found.provider, found.provider_name, found.tag) == (None, None, None, None)
    assert (found.requested, found.status, found.attempts, found.cost) == (MODEL, 404, (), 0)


def test_a_row_names_its_key_and_the_app_as_its_headers_say() -> None:
    headers = {b"referer": b"https://app.example/" + b"x" * 600, b"x-title": "Näme".encode(), b"user-agent": b""}
    one = served(plain(), headers=headers, caller=Caller("laptop", "hash"))
    found = stored(one)
    assert (found.key, found.key_name, found.title, found.user_agent) == ("hash", "laptop", "Näme", None)
    assert found.referer is not None
    assert len(found.referer) == 500
    assert found.created == NOW - 3.0


def test_a_client_that_left_and_its_conversation_are_in_the_row() -> None:
    headers = {b"http-referer": b"https://app.example", b"x-openrouter-title": b"App", b"user-agent": b"curl"}
    decision = plain()
    decision.ask = ask(stream=True, session_id="conversation")
    found = stored(served(decision, 499, headers=headers))
    assert (found.status, found.cancelled, found.stream, found.session) == (499, True, True, "conversation")
    assert (found.referer, found.title, found.user_agent) == ("https://app.example", "App", "curl")


def test_a_request_with_a_grant_belongs_to_the_day_of_its_grant() -> None:
    one = served(plain())
    one.grant = Grant("hash", "gen-1", NOW - 100, USD(1))
    assert stored(one).created == NOW - 100


@pytest.mark.parametrize(
    ("attempts", "overhead"),
    [
        ([], 3.0),
        ([(10.0, 2.0)], 1.0),
        ([(10.0, 1.0), (11.5, 1.0)], 1.0),
        ([(10.0, 2.0), (10.5, 1.0)], 1.0),
        ([(10.5, 2.0), (10.0, 1.0)], 0.5),
        ([(10.0, 9.0)], 0.0),
    ],
)
def test_the_overhead_is_the_time_in_which_no_provider_had_the_request(
    attempts: list[tuple[float, float]], overhead: float
) -> None:
    w = several()
    made = [attempt(w, "cheap", *times) for times in attempts]
    assert served(decided(w.plan(), *made)).overhead == pytest.approx(overhead)
