"""What one replica finds out, the others use."""

from __future__ import annotations

from providers.errors import BadCredentials, ProviderError, RateLimited, ServerFault
from router.catalogue import Endpoint
from router.facts import Ticket
from router.fleet import Fleet
from router.health import Health
from router.outcome import Outcome
from router.state.memory import NoExchange
from router.state.values import Note
from tests.router.fakes import offer, world


class Wire(NoExchange):
    """An exchange whose other end is another of its kind."""

    def __init__(self, probing: dict[tuple[str, str], Wire]) -> None:
        self._probing = probing
        self.other: Wire | None = None
        self.inbox: list[Note] = []

    def publish(self, note: Note) -> None:
        assert self.other is not None
        self.other.inbox.append(note)

    def received(self) -> list[Note]:
        notes, self.inbox = self.inbox, []
        return notes

    async def take_probe(self, endpoint: tuple[str, str], seconds: float) -> bool:
        return self._probing.setdefault(endpoint, self) is self

    def end_probe(self, endpoint: tuple[str, str]) -> None:
        if self._probing.get(endpoint) is self:
            del self._probing[endpoint]


class Pair:
    """Two gateways with one catalogue, and a clock for both."""

    def __init__(self) -> None:
        self.now = 1_000.0
        made = world(offer("a"), offer("b"))
        self.endpoint: Endpoint = next(iter(made.catalogue.models.values())).endpoints[0]
        self.probing: dict[tuple[str, str], Wire] = {}
        wires = (Wire(self.probing), Wire(self.probing))
        wires[0].other, wires[1].other = wires[1], wires[0]
        self.books = [Health(made.settings.health, lambda: self.now) for _ in range(2)]
        self.fleets = [Fleet(book, wire) for book, wire in zip(self.books, wires, strict=True)]

    def fail(self, error: ProviderError | None, times: int = 1) -> None:
        book = self.books[0]
        for _ in range(times):
            ticket = book.admit(self.endpoint, insist=True)
            assert ticket is not None
            book.settle(ticket, Outcome("gen-1", self.endpoint, self.now, 0.1, error, stream=True))

    async def attempt(self, book: Health, *, insist: bool = False) -> Ticket | None:
        given = not book.must_ask(self.endpoint) or await book.leave(self.endpoint, insist=insist)
        return book.admit(self.endpoint, insist=insist) if given else None

    def exchange(self) -> None:
        for fleet in self.fleets:
            fleet.exchange()
        for fleet in self.fleets:
            fleet.exchange()

    def elsewhere(self) -> str | None:
        return self.books[1].standing(self.endpoint).unavailable


async def test_an_ejection_is_known_everywhere_and_ends_everywhere() -> None:
    pair = Pair()
    pair.fail(ServerFault("down"), 5)
    assert pair.elsewhere() is None
    pair.exchange()
    assert pair.elsewhere() == "ejected"
    pair.now += 6
    probe = await pair.attempt(pair.books[0])
    assert probe is not None
    pair.books[0].settle(probe, Outcome("gen-1", pair.endpoint, pair.now, 0.1, None, stream=True))
    pair.exchange()
    assert pair.elsewhere() is None
    assert pair.books[1].facts(pair.endpoint).ejections == 0


def test_a_cool_down_is_known_everywhere() -> None:
    pair = Pair()
    pair.fail(RateLimited("slow down", retry_after=9))
    pair.exchange()
    assert pair.elsewhere() == "cooling"
    pair.now += 10
    assert pair.elsewhere() is None


def test_a_refused_key_puts_the_provider_aside_everywhere() -> None:
    pair = Pair()
    pair.fail(BadCredentials("bad key"))
    pair.exchange()
    assert pair.elsewhere() == "provider_put_aside"


def test_attempts_are_counted_once_everywhere() -> None:
    pair = Pair()
    pair.fail(None, 7)
    pair.fail(ServerFault("down"), 3)
    for _ in range(4):
        pair.exchange()
    for book in pair.books:
        facts = book.facts(pair.endpoint)
        assert (facts.lately.good, facts.lately.bad) == (7, 3)
        assert book.standing(pair.endpoint).outage is False
        assert book.ratio(pair.endpoint, 600) == 0.7


async def test_of_two_replicas_one_probes_and_the_other_hears_how_it_went() -> None:
    pair = Pair()
    pair.fail(ServerFault("down"), 5)
    pair.exchange()
    pair.now += 6
    first, second = pair.books
    probe = await pair.attempt(second)
    assert probe is not None
    assert probe.probe
    assert await pair.attempt(first) is None
    assert first.standing(pair.endpoint).unavailable == "ejected"
    second.settle(probe, Outcome("gen-1", pair.endpoint, pair.now, 0.1, None, stream=True))
    pair.exchange()
    for book in pair.books:
        ticket = await pair.attempt(book)
        assert ticket is not None
        assert not ticket.probe
    assert not pair.probing


async def test_a_probe_that_failed_is_known_before_the_next_may_be_made() -> None:
    pair = Pair()
    pair.fail(ServerFault("down"), 5)
    pair.exchange()
    pair.now += 6
    first, second = pair.books
    probe = await pair.attempt(first)
    assert probe is not None
    first.settle(probe, Outcome("gen-1", pair.endpoint, pair.now, 0.1, ServerFault("down"), stream=True))
    assert await pair.attempt(second) is None
    pair.now += 1
    pair.exchange()
    assert await pair.attempt(second) is None
    assert second.facts(pair.endpoint).ejections == 2


async def test_leave_that_came_too_late_is_given_back() -> None:
    pair = Pair()
    pair.fail(ServerFault("down"), 5)
    pair.now += 6
    book = pair.books[0]
    asked = book.ask_leave
    assert asked is not None

    async def meanwhile(endpoint: tuple[str, str], seconds: float) -> bool:
        book.hear(Note("alive", endpoint))
        return await asked(endpoint, seconds)

    book.ask_leave = meanwhile
    ticket = await pair.attempt(book)
    assert ticket is not None
    assert not ticket.probe
    pair.exchange()
    assert not pair.probing


async def test_without_the_fleets_leave_there_is_no_probe_not_even_as_the_last_resort() -> None:
    pair = Pair()
    pair.fail(ServerFault("down"), 5)
    pair.exchange()
    first, second = pair.books
    for insist in (False, True):
        pair.now += 6
        assert first.admit(pair.endpoint, insist=insist) is None
    probe = await pair.attempt(first, insist=True)
    assert probe is not None
    assert probe.probe
    assert await pair.attempt(first, insist=True) is None
    assert await pair.attempt(second, insist=True) is None
    assert await pair.attempt(second) is None
    assert second.standing(pair.endpoint).unavailable == "ejected"


async def test_the_last_resort_is_a_probe_before_the_ejection_is_over_too() -> None:
    pair = Pair()
    pair.fail(ServerFault("down"), 5)
    pair.exchange()
    first, second = pair.books
    assert await pair.attempt(first) is None
    probe = await pair.attempt(first, insist=True)
    assert probe is not None
    assert await pair.attempt(second, insist=True) is None
    first.settle(probe, Outcome("gen-1", pair.endpoint, pair.now, 0.1, None, stream=True))
    pair.exchange()
    assert await pair.attempt(second) is not None


async def test_the_first_content_of_a_probe_frees_the_endpoint_everywhere() -> None:
    pair = Pair()
    pair.fail(ServerFault("down"), 5)
    pair.exchange()
    pair.now += 6
    first, second = pair.books
    probe = await pair.attempt(first)
    assert probe is not None
    assert probe.begun is not None
    probe.begun(probe)
    pair.exchange()
    for book in (first, second):
        ticket = await pair.attempt(book)
        assert ticket is not None
        assert not ticket.probe
    assert not pair.probing
