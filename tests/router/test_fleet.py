"""What one replica finds out, the others use."""

from __future__ import annotations

from providers.errors import BadCredentials, ProviderError, RateLimited, ServerFault
from router.catalogue import Endpoint
from router.fleet import Fleet
from router.health import Health
from router.outcome import Outcome
from router.state.memory import NoExchange
from router.state.values import Note
from tests.router.fakes import offer, world


class Wire(NoExchange):
    """An exchange whose other end is another of its kind."""

    def __init__(self) -> None:
        self.other: Wire | None = None
        self.inbox: list[Note] = []

    def publish(self, note: Note) -> None:
        assert self.other is not None
        self.other.inbox.append(note)

    def received(self) -> list[Note]:
        notes, self.inbox = self.inbox, []
        return notes


class Pair:
    """Two gateways with one catalogue, and a clock for both."""

    def __init__(self) -> None:
        self.now = 1_000.0
        made = world(offer("a"), offer("b"))
        self.endpoint: Endpoint = next(iter(made.catalogue.models.values())).endpoints[0]
        wires = (Wire(), Wire())
        wires[0].other, wires[1].other = wires[1], wires[0]
        self.books = [Health(made.settings.health, lambda: self.now) for _ in range(2)]
        self.fleets = [Fleet(book, wire) for book, wire in zip(self.books, wires, strict=True)]

    def fail(self, error: ProviderError | None, times: int = 1) -> None:
        book = self.books[0]
        for _ in range(times):
            ticket = book.admit(self.endpoint, insist=True)
            assert ticket is not None
            book.settle(ticket, Outcome("gen-1", self.endpoint, self.now, 0.1, error, stream=True))

    def exchange(self) -> None:
        for fleet in self.fleets:
            fleet.exchange()
        for fleet in self.fleets:
            fleet.exchange()

    def elsewhere(self) -> str | None:
        return self.books[1].standing(self.endpoint).unavailable


def test_an_ejection_is_known_everywhere_and_ends_everywhere() -> None:
    pair = Pair()
    pair.fail(ServerFault("down"), 5)
    assert pair.elsewhere() is None
    pair.exchange()
    assert pair.elsewhere() == "ejected"
    pair.now += 6
    pair.fail(None)
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
