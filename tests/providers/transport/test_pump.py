"""Pumping an answer's body: every piece where it arrives, for as long as it is taken."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable

import pytest

from providers.errors import BadAnswer, Broken
from providers.transport.base import Limits, Response, Transport
from providers.transport.connection import HIGH_WATER
from providers.transport.lean import LeanTransport
from tests.providers.transport.conftest import Make
from tests.providers.transport.raw import Peer, RawServer, Script, ok, says, serve, until
from tests.providers.transport.test_engines import CHUNKED, ask, begun, fetch

END = b"0\r\n\r\n"


class Taker:
    """Takes pieces until it has `until` bytes, then calls `then` for the answer."""

    def __init__(self, until: float = float("inf"), then: Callable[[], bool] = lambda: False) -> None:
        self.pieces: list[bytes] = []
        self._until = until
        self._then = then

    def __call__(self, piece: bytes) -> bool:
        assert piece
        self.pieces.append(piece)
        return len(self.taken) < self._until or self._then()

    @property
    def taken(self) -> bytes:
        return b"".join(self.pieces)


class Held:
    """A script that sends an answer's first piece, and each further one when told to; then closes, or serves on."""

    def __init__(self, *pieces: bytes, close: bool = False) -> None:
        self._pieces = pieces
        self._close = close
        self._may = asyncio.Semaphore(0)

    def go_on(self) -> None:
        self._may.release()

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(self._pieces[0])
        for piece in self._pieces[1:]:
            await self._may.acquire()
            await peer.send(piece)
        if self._close:
            await self._may.acquire()
            await peer.close()
        else:
            await serve(peer)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


WAYS = {
    "chunked": CHUNKED + chunk(b"one ") + chunk(b"two ") + chunk(b"three") + END,
    "trailers": CHUNKED + chunk(b"one two ") + b"5;x=y\r\nthree\r\n0\r\nX-Sum: 1\r\n\r\n",
    "length": ok(b"one two three"),
    "close": b"HTTP/1.1 200 OK\r\n\r\none two three",
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("way", WAYS)
async def test_the_whole_body_is_taken_wherever_the_reads_are_cut(engine: Make, way: str, size: int) -> None:
    answer = WAYS[way]
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    async with RawServer(says(*pieces)) as server:
        response = await ask(engine(server.url))
        take = Taker()
        assert await response.pump(take)
        assert take.taken == b"one two three"
        assert await response.pump(take)
        assert await response.read() == b""
        response.close()


async def test_a_body_that_ends_in_the_read_in_which_it_began_is_taken_whole(engine: Make) -> None:
    async with RawServer(says(ok(b"at once"))) as server:
        response = await ask(engine(server.url))
        take = Taker()
        assert await response.pump(take)
        assert take.taken == b"at once"
        response.close()


async def test_a_body_without_a_byte_ends_well_and_nothing_is_taken(engine: Make) -> None:
    async with RawServer(says(ok(b"")), serve) as server:
        transport = engine(server.url)
        response = await ask(transport)
        take = Taker()
        assert await response.pump(take)
        assert take.pieces == []
        response.close()
        assert await fetch(transport) == b"ok"


async def test_pieces_are_taken_as_they_arrive(engine: Make) -> None:
    held = Held(CHUNKED + chunk(b"one"), chunk(b"two"), chunk(b"three") + END)
    async with RawServer(held) as server:
        response = await ask(engine(server.url))
        take = Taker()
        pump = begun(response.pump(take))
        await until(lambda: take.taken == b"one")
        held.go_on()
        await until(lambda: take.taken == b"onetwo")
        assert not pump.done()
        held.go_on()
        assert await pump
        assert take.taken == b"onetwothree"
        response.close()


async def test_a_pump_can_be_halted_and_the_rest_be_read_or_pumped(engine: Make) -> None:
    held = Held(CHUNKED + chunk(b"a"), *[chunk(letter) for letter in (b"b", b"c", b"d", b"e")], END)
    async with RawServer(held, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)
        assert await response.read() == b"a"
        take = Taker(until=2)
        pump = begun(response.pump(take))
        held.go_on()
        await until(lambda: take.pieces == [b"b"])
        held.go_on()
        assert not await pump
        held.go_on()
        assert await response.read() == b"d"
        held.go_on()
        rest = Taker()
        pump = begun(response.pump(rest))
        await until(lambda: rest.pieces == [b"e"])
        held.go_on()
        assert await pump
        assert take.taken == b"bc"
        response.close()
        assert await fetch(transport) == b"ok"
        assert server.accepted == 1


@pytest.mark.parametrize(
    "start", [CHUNKED + b"3\r\nabc\r\n", CHUNKED + b"ff\r\nabc", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
)
async def test_a_body_cut_short_is_broken_after_what_had_come(engine: Make, start: bytes) -> None:
    held = Held(start, close=True)
    async with RawServer(held, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)
        take = Taker()
        pump = begun(response.pump(take))
        await until(lambda: take.taken == b"abc")
        held.go_on()
        with pytest.raises(Broken, match=f"127.0.0.1:{server.port}"):
            await pump
        with pytest.raises(Broken):
            await response.pump(take)
        response.close()
        assert await fetch(transport) == b"ok"


async def test_an_abort_from_outside_ends_the_pump_with_its_error(engine: Make) -> None:
    held = Held(CHUNKED + chunk(b"a"), b"")
    async with RawServer(held, serve) as server:
        response = await ask(engine(server.url))
        take = Taker()
        pump = begun(response.pump(take))
        await until(lambda: take.pieces)
        response.abort(KeyError("silence"))
        response.abort(RuntimeError("the second is not heard"))
        with pytest.raises(KeyError):
            await pump
        with pytest.raises(KeyError):
            await response.read()
        response.close()
        held.go_on()
        await until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("buffered", [True, False], ids=["what lay unread", "what arrives"])
async def test_an_abort_within_take_ends_the_pump_with_its_error(engine: Make, buffered: bool) -> None:
    held = Held(CHUNKED, chunk(b"a"), chunk(b"b"))
    async with RawServer(held, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)

        def stop() -> bool:
            response.abort(KeyError("enough"))
            return True

        take = Taker(until=1, then=stop)
        await _piece(response, held, take, buffered, KeyError)
        assert take.pieces == [b"a"]
        response.close()
        assert await fetch(transport) == b"ok"


@pytest.mark.parametrize("buffered", [True, False], ids=["what lay unread", "what arrives"])
async def test_what_take_raises_is_raised_from_the_pump_and_ends_the_answer(engine: Make, buffered: bool) -> None:
    held = Held(CHUNKED, chunk(b"a"), chunk(b"b"))
    async with RawServer(held, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)

        def fails() -> bool:
            raise LookupError("what")

        await _piece(response, held, Taker(until=1, then=fails), buffered, LookupError)
        with pytest.raises(LookupError):
            await response.read()
        response.close()
        assert await fetch(transport) == b"ok"
        await until(lambda: server.open_connections == 1)


async def _piece(response: Response, held: Held, take: Taker, buffered: bool, kind: type[Exception]) -> None:
    """Has one piece taken: one that lies there already, or one that comes while the pump waits. Its error is caught."""
    if buffered:
        held.go_on()
        await asyncio.sleep(0.02)
    pump = begun(response.pump(take))
    await asyncio.sleep(0.01)
    held.go_on()
    with pytest.raises(kind):
        await pump
    held.go_on()


@pytest.mark.parametrize("more", [True, False])
async def test_an_answer_closed_within_take_before_its_end_gives_its_connection_up(engine: Make, more: bool) -> None:
    held = Held(CHUNKED, chunk(b"a"), chunk(b"b"))
    async with RawServer(held, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)

        def closes() -> bool:
            response.close()
            return more

        pump = begun(response.pump(Taker(until=1, then=closes)))
        await asyncio.sleep(0.01)
        held.go_on()
        if more:
            with pytest.raises(Broken):
                await pump
        else:
            await asyncio.wait([pump])
            assert pump.exception() is None or isinstance(pump.exception(), Broken)
        held.go_on()
        assert await fetch(transport) == b"ok"
        await until(lambda: server.open_connections == 1)
        assert server.accepted == 2


async def test_a_cancelled_pump_takes_nothing_more_and_gives_its_connection_up(engine: Make) -> None:
    held = Held(CHUNKED + chunk(b"a"), chunk(b"b"))
    async with RawServer(held, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)
        take = Taker()
        pump = begun(response.pump(take))
        await until(lambda: take.pieces)
        pump.cancel()
        held.go_on()
        with pytest.raises(asyncio.CancelledError):
            await pump
        await asyncio.sleep(0.02)
        assert take.pieces == [b"a"]
        response.close()
        assert await fetch(transport) == b"ok"
        await until(lambda: server.open_connections == 1)


async def test_a_pump_that_halted_makes_the_server_wait(engine: Make) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            await peer.send(b"x" * 100_000)
            sent += 1

    async with RawServer(script) as server:
        transport = engine(server.url)
        response = await ask(transport)
        first = Taker(until=1)
        assert not await response.pump(first)
        stalled = -1
        while stalled != sent:
            stalled = sent
            await asyncio.sleep(0.1)
        assert sent < 300  # what the kernel's buffers hold, and ours
        if isinstance(transport, LeanTransport):
            (connection,) = transport._open
            assert HIGH_WATER < connection._pending_bytes <= 3 * HIGH_WATER
        total = len(first.taken)

        def count(piece: bytes) -> bool:
            nonlocal total
            total += len(piece)
            return True

        assert await response.pump(count)
        assert total == 50_000_000
        response.close()


# What only lean promises


async def test_pieces_in_front_of_a_fault_of_framing_are_still_taken(lean: Make) -> None:
    held = Held(CHUNKED, chunk(b"abc") + b"zz\r\n")
    async with RawServer(held, serve) as server:
        transport = lean(server.url)
        response = await ask(transport)
        take = Taker()
        pump = begun(response.pump(take))
        await asyncio.sleep(0)
        held.go_on()
        with pytest.raises(BadAnswer):
            await pump
        assert take.taken == b"abc"
        response.close()
        assert await fetch(transport) == b"ok"


async def test_no_task_is_woken_for_a_piece(lean: Make) -> None:
    held = Held(CHUNKED, *[chunk(b"x") for _ in range(3)], END)
    async with RawServer(held) as server:
        response = await ask(lean(server.url))
        takers: list[object] = []

        def take(piece: bytes) -> bool:
            takers.append(asyncio.current_task())
            return True

        pump = begun(response.pump(take))
        for number in range(1, 4):
            held.go_on()
            await until(lambda number=number: len(takers) == number)
        held.go_on()
        assert await pump
        assert takers == [None] * 3
        response.close()


async def test_what_arrives_in_the_moment_of_the_cancellation_is_not_taken(lean: Make) -> None:
    held = Held(CHUNKED + chunk(b"a"), END)
    async with RawServer(held) as server:
        transport = lean(server.url)
        assert isinstance(transport, LeanTransport)
        response = await ask(transport)
        take = Taker()
        pump = begun(response.pump(take))
        await until(lambda: take.pieces)
        pump.cancel()
        (connection,) = transport._open
        connection.data_received(chunk(b"b"))
        with pytest.raises(asyncio.CancelledError):
            await pump
        assert take.pieces == [b"a"]
        held.go_on()
        response.close()


async def test_pieces_of_one_read_are_taken_in_one_go(lean: Make) -> None:
    held = Held(CHUNKED, chunk(b"a") + chunk(b"b") + chunk(b"c") + END)
    async with RawServer(held) as server:
        response = await ask(lean(server.url))
        take = Taker(until=1)
        pump = begun(response.pump(take))
        await asyncio.sleep(0.01)
        held.go_on()
        assert not await pump
        assert take.pieces == [b"abc"]
        assert await response.pump(take)
        response.close()


async def test_an_answer_closed_within_take_at_its_end_leaves_its_connection_to_the_next_request(lean: Make) -> None:
    held = Held(CHUNKED, chunk(b"last") + END)
    async with RawServer(held) as server:
        transport = lean(server.url, Limits(connections=1))
        response = await ask(transport)
        waiting = begun(fetch(transport))

        def closes() -> bool:
            response.close()
            return False

        pump = begun(response.pump(Taker(until=1, then=closes)))
        await asyncio.sleep(0.01)
        held.go_on()
        assert not await pump
        assert await waiting == b"ok"
        assert server.accepted == 1


async def test_a_pump_cancelled_after_its_end_leaves_the_connection_to_the_next_request(lean: Make) -> None:
    held = Held(CHUNKED, chunk(b"last") + END)
    async with RawServer(held) as server:
        transport = lean(server.url, Limits(connections=1))
        response = await ask(transport)

        def closes() -> bool:
            response.close()
            pump.cancel()
            return True

        pump = begun(response.pump(Taker(until=1, then=closes)))
        await asyncio.sleep(0.01)
        waiting = begun(fetch(transport))
        held.go_on()
        with pytest.raises(asyncio.CancelledError):
            await pump
        assert await waiting == b"ok"
        assert server.accepted == 1


def moody(rng: random.Random) -> Script:
    """Answers in pieces, and now and then closes."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(CHUNKED)
            for _ in range(rng.randrange(5)):
                await peer.send(chunk(b"abcde"))
                await asyncio.sleep(rng.random() * 0.001)
            await peer.send(END)
            if rng.random() < 0.05:
                await peer.close()

    return script


async def pumped_somehow(transport: Transport, rng: random.Random) -> None:
    """One answer, whose pump ends in a way drawn by lot."""
    response = await ask(transport)

    def fails() -> bool:
        raise LookupError

    def aborts() -> bool:
        response.abort(LookupError())
        return True

    def closes() -> bool:
        response.close()
        return False

    then = rng.choice([fails, aborts, closes, lambda: True, lambda: False, None])
    take = Taker(until=rng.choice([1, 6, 11]), then=then or (lambda: True))
    pump = begun(response.pump(take))
    if then is None:
        await asyncio.sleep(rng.random() * 0.003)
        pump.cancel()
    await asyncio.wait([pump])
    assert pump.cancelled() or pump.exception() is None or isinstance(pump.exception(), LookupError | Broken)
    response.close()


async def test_pumps_ended_in_every_way_leave_nothing_behind(engine: Make) -> None:
    rng = random.Random(7)

    async def worker(transport: Transport) -> None:
        for _ in range(60):
            await pumped_somehow(transport, rng)

    async with RawServer(moody(rng)) as server:
        transport = engine(server.url, Limits(connections=10))
        await asyncio.gather(*[worker(transport) for _ in range(20)])
        await until(lambda: server.open_connections <= 10 and transport.open_connections <= 10)
        for _ in range(10):
            assert set(await fetch(transport)) <= set(b"abcde")
        await transport.aclose()
        await until(lambda: server.open_connections == 0)
        gc.collect()
