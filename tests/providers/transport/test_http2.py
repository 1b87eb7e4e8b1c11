"""The HTTP/2 transport against a real HTTP/2 server: streams, flow control, resets, goodbyes, cancellation."""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme
from h2.errors import ErrorCodes

from providers.errors import BadAnswer, Broken, ConnectTimeout, ProviderError, Unreachable
from providers.transport.base import Limits, Transport
from providers.transport.http2 import Http2Transport
from providers.transport.proxy import Proxy
from tests.providers.transport.conftest import Make, serving
from tests.providers.transport.h2peer import Exchange, H2Server, Script
from tests.providers.transport.raw import Peer, RawServer, serve, until
from tests.providers.transport.socks import SocksProxy
from tests.providers.transport.test_engines import HEADERS, ask, begun, cancelled, fetch, refused_port, whole

Serve = Callable[..., H2Server]


@pytest.fixture
def server_of(authority: trustme.CA) -> Serve:
    def make(*scripts: Script, most: int = 100) -> H2Server:
        return H2Server(serving(authority.issue_cert("127.0.0.1")), *scripts, most=most)

    return make


@pytest.fixture
async def http2(authority: trustme.CA) -> AsyncIterator[Make]:
    made: list[Transport] = []

    def make(url: str, limits: Limits | None = None, proxy: Proxy | None = None) -> Transport:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        made.append(Http2Transport(url, limits or Limits(), context, proxy))
        return made[-1]

    yield make
    for transport in made:
        await transport.aclose()
        assert transport.open_connections == 0


async def answers(exchange: Exchange) -> None:
    await exchange.answer()


async def starts(exchange: Exchange) -> None:
    await exchange.whole.wait()
    await exchange.head()
    await exchange.send(b"first")
    await asyncio.Event().wait()


async def silent(exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def test_sends_the_callers_headers_and_body_and_its_own_framing(server_of: Serve, http2: Make) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.whole.wait()
        await exchange.head(429, ("retry-after", "3"), ("x-one", "a"), ("x-one", "b"))
        await exchange.send(b"slow ")
        await exchange.send(b"down", end=True)

    async with server_of(script) as server:
        response = await http2(server.url).open(b"/chat/completions", [(b"X-Title", b"a b")], b'{"model":"m"}')
        assert (response.status, response.headers["retry-after"], response.headers["x-one"]) == (429, "3", "b")
        assert await whole(response) == b"slow down"
        response.close()
        assert sorted(server.exchanges[0].fields) == [
            (b":authority", b"127.0.0.1:%d" % server.port),
            (b":method", b"POST"),
            (b":path", b"/v1/chat/completions"),
            (b":scheme", b"https"),
            (b"content-length", b"13"),
            (b"x-title", b"a b"),
        ]
        assert server.exchanges[0].body == b'{"model":"m"}'


async def test_a_body_is_pumped_halted_and_read_on(server_of: Serve, http2: Make) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for letter in (b"a", b"b", b"c"):
            await exchange.send(letter)
            await go_on.acquire()
        await exchange.send(b"", end=True)

    go_on = asyncio.Semaphore(0)
    taken: list[bytes] = []

    def take(piece: bytes) -> bool:
        taken.append(piece)
        go_on.release()
        return len(taken) < 2

    async with server_of(script) as server:
        response = await ask(http2(server.url))
        assert not await response.pump(take)
        assert taken == [b"a", b"b"]
        assert await response.read() == b"c"
        go_on.release()
        assert await response.pump(take)
        assert taken == [b"a", b"b"]
        response.close()


@pytest.mark.parametrize("header", [(b"x", b"a\r\nb: c"), (b"x y", b"1"), (b"host", b"x"), (b":path", b"/")])
async def test_headers_that_could_smuggle_are_refused_before_anything_is_sent(
    http2: Make, header: tuple[bytes, bytes]
) -> None:
    with pytest.raises(ValueError):
        await http2("https://provider.test").open(b"/x", [header], b"{}")


async def test_many_requests_at_once_share_one_connection(server_of: Serve, http2: Make) -> None:
    together = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if len(server.exchanges) == 50:
            together.set()
        await together.wait()
        await exchange.answer(b"%d" % exchange.number)

    async with server_of(script) as server:
        transport = http2(server.url)
        bodies = await asyncio.gather(*[fetch(transport) for _ in range(50)])
        assert sorted(bodies) == sorted(b"%d" % number for number in range(1, 100, 2))
        assert (server.accepted, transport.open_connections) == (1, 1)
        assert [await fetch(transport) for _ in range(3)]
        assert server.accepted == 1


async def test_no_more_streams_are_opened_on_a_connection_than_the_peer_allows(server_of: Serve, http2: Make) -> None:
    async def script(exchange: Exchange) -> None:
        if len(server.exchanges) == 12:
            together.set()
        await together.wait()
        await exchange.answer()

    together = asyncio.Event()
    async with server_of(script, most=4) as server:
        transport = http2(server.url)
        assert await asyncio.gather(*[fetch(transport) for _ in range(12)]) == [b"ok"] * 12
        assert (server.most_open, server.accepted) == (4, 3)
        assert server.resets == {}


async def test_pieces_are_handed_out_as_they_arrive(server_of: Serve, http2: Make) -> None:
    more = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(b"first")
        await more.wait()
        await exchange.send(b"second", end=True)

    async with server_of(script) as server:
        response = await ask(http2(server.url))
        assert await response.read() == b"first"
        more.set()
        assert [await response.read(), await response.read()] == [b"second", b""]
        response.close()
        assert server.resets == {}


async def test_interim_answers_and_trailers_are_not_the_answer(server_of: Serve, http2: Make) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(103, ("retry-after", "99"))
        await exchange.head(200)
        await exchange.send(b"abc")
        exchange.line.h2.send_headers(exchange.number, [("x-sum", "1")], end_stream=True)
        exchange.line.flush()

    async with server_of(script) as server:
        response = await ask(http2(server.url))
        assert (response.status, dict(response.headers)) == (200, {})
        assert await whole(response) == b"abc"
        response.close()


async def test_a_large_request_body_arrives_whole(server_of: Serve, http2: Make) -> None:
    body = random.Random(1).randbytes(3_000_000)
    async with server_of(answers) as server:
        transport = http2(server.url)
        assert await asyncio.gather(*[fetch(transport, body) for _ in range(3)]) == [b"ok"] * 3
        assert [exchange.body == body for exchange in server.exchanges] == [True] * 3


async def test_an_answer_that_comes_before_the_request_was_wholly_written_is_read(
    server_of: Serve, http2: Make
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(413)
        await exchange.send(b"no", end=True)
        exchange.reset(ErrorCodes.NO_ERROR)

    async with server_of(script, answers) as server:
        transport = http2(server.url)
        response = await ask(transport, b"x" * 20_000_000)
        assert (response.status, await whole(response)) == (413, b"no")
        response.close()
        assert await fetch(transport) == b"ok"
        assert server.accepted == 1


async def test_a_slow_reader_makes_the_server_wait_and_holds_up_nobody_else(server_of: Serve, http2: Make) -> None:
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.head()
        for _ in range(200):
            await exchange.send(b"x" * 50_000)
            sent += 1
        await exchange.send(b"", end=True)

    async with server_of(script, answers) as server:
        transport = http2(server.url)
        slow = await ask(transport)
        stalled = -1
        while stalled != sent:
            stalled = sent
            await asyncio.sleep(0.05)
        assert sent < 20
        assert await fetch(transport) == b"ok"
        assert len(await whole(slow)) == 10_000_000
        slow.close()
        assert server.accepted == 1


# What goes wrong


async def test_a_refused_connection_is_unreachable(http2: Make) -> None:
    port = refused_port()
    with pytest.raises(Unreachable, match=f"^could not connect to 127.0.0.1:{port}: connection refused$"):
        await ask(http2(f"https://127.0.0.1:{port}"))


async def test_an_unknown_authority_is_refused(server_of: Serve) -> None:
    async with server_of(answers) as server:
        transport = Http2Transport(server.url, Limits(), ssl.create_default_context())
        with pytest.raises(Unreachable, match="its certificate is not trusted"):
            await ask(transport)
        await transport.aclose()
        assert server.exchanges == []


async def test_a_peer_without_http2_is_unreachable_and_the_message_says_what_to_do(
    authority: trustme.CA, http2: Make
) -> None:
    async with RawServer(serve, context=serving(authority.issue_cert("127.0.0.1"))) as server:
        transport = http2(server.url)
        for _ in range(2):
            with pytest.raises(Unreachable, match="does not offer HTTP/2: leave out http2: true"):
                await ask(transport)
        assert server.requests == []
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)


async def test_a_peer_that_agrees_to_http2_but_never_speaks_it_is_a_connect_timeout(
    authority: trustme.CA, http2: Make
) -> None:
    async def nothing(peer: Peer) -> None:
        pass

    context = serving(authority.issue_cert("127.0.0.1"))
    context.set_alpn_protocols(["h2"])
    async with RawServer(nothing, context=context) as server:
        transport = http2(server.url, Limits(connect_timeout=0.3))
        outcomes = await asyncio.gather(*[ask(transport) for _ in range(5)], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectTimeout] * 5
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x08\0\0\0\0\0", b"\0" * 4096])
async def test_a_peer_that_speaks_something_else_is_a_bad_answer(
    authority: trustme.CA, http2: Make, said: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(said)

    context = serving(authority.issue_cert("127.0.0.1"))
    context.set_alpn_protocols(["h2"])
    async with RawServer(script, context=context) as server:
        transport = http2(server.url)
        with pytest.raises(BadAnswer, match=f"^127.0.0.1:{server.port} did not answer in proper HTTP: "):
            await ask(transport)
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)


async def drops(exchange: Exchange) -> None:
    await exchange.whole.wait()
    exchange.line.transport.abort()


async def breaks_off(exchange: Exchange) -> None:
    await exchange.whole.wait()
    await exchange.head()
    await exchange.send(b"abc")
    await asyncio.sleep(0.01)
    exchange.line.transport.abort()


async def resets_late(exchange: Exchange) -> None:
    await exchange.whole.wait()
    await exchange.head()
    await exchange.send(b"abc")
    exchange.reset()


async def resets_early(exchange: Exchange) -> None:
    await exchange.whole.wait()
    exchange.reset()


@pytest.mark.parametrize(
    ("script", "kind"),
    [(drops, Unreachable), (breaks_off, Broken), (resets_late, Broken), (resets_early, Unreachable)],
)
async def test_an_answer_cut_short_is_an_error_that_says_where(
    server_of: Serve, http2: Make, script: Script, kind: type[ProviderError]
) -> None:
    async with server_of(script, answers) as server:
        transport = http2(server.url, Limits(connections=1))
        with pytest.raises(ProviderError, match=f"^127.0.0.1:{server.port} ") as caught:
            await fetch(transport)
        assert type(caught.value) is kind
        assert len(server.exchanges) == 1
        assert await fetch(transport) == b"ok"


async def test_a_stream_reset_while_its_body_is_written_ends_alone(server_of: Serve, http2: Make) -> None:
    """In one packet: go on writing, and the reset."""

    async def script(exchange: Exchange) -> None:
        exchange.line.h2.increment_flow_control_window(1_000, exchange.number)
        exchange.reset()

    async with server_of(starts, script, answers) as server:
        transport = http2(server.url)
        other = await ask(transport)
        with pytest.raises(Unreachable, match="it reset the stream: internal error"):
            await ask(transport, b"x" * 20_000_000)
        assert await other.read() == b"first"
        other.close()
        assert await fetch(transport) == b"ok"
        assert (server.accepted, len(server.exchanges)) == (1, 3)


async def test_a_body_shorter_than_it_said_is_no_whole_answer(server_of: Serve, http2: Make) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(200, ("content-length", "10"))
        await exchange.send(b"abc", end=True)

    async with server_of(script, answers) as server:
        transport = http2(server.url)
        with pytest.raises((Broken, BadAnswer)):
            await fetch(transport)
        assert await fetch(transport) == b"ok"


async def test_too_many_headers_are_refused_and_the_connection_goes_on(server_of: Serve, http2: Make) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(200, *[(f"a{number}", "b") for number in range(300)], end=True)

    async with server_of(script, answers) as server:
        transport = http2(server.url)
        with pytest.raises(BadAnswer, match="too many headers"):
            await ask(transport)
        assert await fetch(transport) == b"ok"
        assert server.accepted == 1


async def test_a_connection_lost_while_idle_is_replaced_without_an_error(server_of: Serve, http2: Make) -> None:
    async def unless_first(exchange: Exchange) -> None:
        if exchange.number > 1:
            exchange.line.transport.abort()
        else:
            await exchange.answer()

    async with server_of(unless_first) as server:
        transport = http2(server.url)
        assert [await fetch(transport) for _ in range(4)] == [b"ok"] * 4
        assert server.accepted == 4


async def refuses(exchange: Exchange) -> None:
    exchange.reset(ErrorCodes.REFUSED_STREAM)


async def test_a_refused_stream_is_asked_once_more_on_a_connection_of_its_own(server_of: Serve, http2: Make) -> None:
    async with server_of(refuses, answers) as server:
        assert await fetch(http2(server.url)) == b"ok"
        assert (len(server.exchanges), server.accepted) == (2, 2)
    async with server_of(refuses) as server:
        with pytest.raises(Unreachable, match="it reset the stream: refused stream"):
            await fetch(http2(server.url))
        assert len(server.exchanges) == 2


async def test_answers_under_way_outlive_the_peers_goodbye_and_new_requests_go_elsewhere(
    server_of: Serve, http2: Make
) -> None:
    """As load balancers say it, before they close a connection that has served for long enough."""
    goodbye, finish = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.whole.wait()
        await exchange.head()
        await exchange.send(b"first ")
        await goodbye.wait()
        frame = b"\0\0\x08\x07\0\0\0\0\0" + exchange.number.to_bytes(4) + bytes(4)
        for byte in frame:
            exchange.line.transport.write(bytes([byte]))
            await asyncio.sleep(0)
        await finish.wait()
        await exchange.send(b"last", end=True)

    async with server_of(script, answers) as server:
        transport = http2(server.url)
        response = await ask(transport)
        assert await response.read() == b"first "
        goodbye.set()
        await until(lambda: not transport._sessions[0].room)  # type: ignore[attr-defined]
        assert await fetch(transport) == b"ok"
        assert server.accepted == 2
        finish.set()
        assert await whole(response) == b"last"
        response.close()
        await until(lambda: transport.open_connections == 1)


async def test_a_request_the_peer_said_goodbye_before_is_asked_elsewhere(server_of: Serve, http2: Make) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.line.transport.write(b"\0\0\x08\x07\0\0\0\0\0" + bytes(8))

    async with server_of(script, answers) as server:
        assert await fetch(http2(server.url)) == b"ok"
        assert server.accepted == 2


async def test_those_who_lose_a_connection_together_share_the_next(server_of: Serve, http2: Make) -> None:
    """A load balancer's goodbye to a hundred requests must not make a hundred connections."""

    async def script(exchange: Exchange) -> None:
        if server.accepted > 1:
            await exchange.answer()
        elif len(server.exchanges) == 30:
            exchange.line.transport.write(b"\0\0\x08\x07\0\0\0\0\0" + bytes(8))

    async with server_of(script) as server:
        transport = http2(server.url)
        assert await asyncio.gather(*[fetch(transport) for _ in range(30)]) == [b"ok"] * 30
        assert (server.accepted, len(server.exchanges)) == (2, 60)


async def test_a_peer_that_floods_and_does_not_read_is_refused(
    server_of: Serve, http2: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.transport.h2_session._MOST_UNSENT", -1)
    async with server_of(answers) as server:
        with pytest.raises(BadAnswer, match="it does not read"):
            await fetch(http2(server.url))


# Cancellation, abort, close, idleness


async def test_a_cancelled_request_is_reset_and_the_others_on_its_connection_go_on(
    server_of: Serve, http2: Make
) -> None:
    async with server_of(silent, starts, starts, answers) as server:
        transport = http2(server.url)
        opening = begun(ask(transport))
        await until(lambda: server.exchanges)
        reading, kept = await ask(transport), await ask(transport)
        assert [await reading.read(), await kept.read()] == [b"first", b"first"]
        reader, keeper = begun(reading.read()), begun(kept.read())
        await asyncio.sleep(0)
        await cancelled(opening)
        await cancelled(reader)
        await until(lambda: server.resets == {ErrorCodes.CANCEL: 2})
        assert not keeper.done()
        assert await fetch(transport) == b"ok"
        kept.close()
        with pytest.raises(Broken):
            await keeper
        await until(lambda: server.resets == {ErrorCodes.CANCEL: 3} and not server.tasks)
        assert server.accepted == 1


async def test_abort_wakes_a_reader_with_the_given_error(server_of: Serve, http2: Make) -> None:
    class Silence(Exception):
        pass

    async with server_of(starts, starts, answers) as server:
        transport = http2(server.url, Limits(connections=1))
        response = await ask(transport)
        assert await response.read() == b"first"
        reader = begun(response.read())
        await asyncio.sleep(0)
        response.abort(Silence())
        response.abort(RuntimeError("the second is not heard"))
        with pytest.raises(Silence):
            await reader
        with pytest.raises(Silence):
            await response.read()
        unread = await ask(transport)
        unread.abort(KeyError("why"))
        with pytest.raises(KeyError):
            await unread.read()
        await until(lambda: server.resets == {ErrorCodes.CANCEL: 2})
        assert await fetch(transport) == b"ok"


async def test_cancelled_while_it_waits_for_a_free_slot_or_for_the_connection(server_of: Serve, http2: Make) -> None:
    async with server_of(answers) as server:
        transport = http2(server.url, Limits(connections=1))
        first, second, third = (begun(fetch(transport)) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        first.cancel()
        assert await third == b"ok"
        await asyncio.wait([first, second])
        assert await fetch(transport) == b"ok"


async def test_aclose_ends_idle_and_busy_connections_and_those_who_wait(server_of: Serve, http2: Make) -> None:
    async with server_of(starts, silent) as server:
        transport = http2(server.url, Limits(connections=2))
        response = await ask(transport)
        await response.read()
        reader, asker = begun(response.read()), begun(ask(transport))
        await until(lambda: len(server.exchanges) == 2)
        waiter = begun(ask(transport))
        await asyncio.sleep(0)
        await transport.aclose()
        assert transport.open_connections == 0
        with pytest.raises(Broken):
            await reader
        for task in (asker, waiter):
            with pytest.raises(Unreachable):
                await task
        with pytest.raises(Unreachable, match="shutting down"):
            await ask(transport)
        await until(lambda: not server.lines)
        assert server.goodbyes == 1
        await transport.aclose()


async def test_an_idle_connection_is_closed_when_its_time_is_over_and_a_busy_one_is_not(
    server_of: Serve, http2: Make
) -> None:
    async with server_of(starts, answers) as server:
        transport = http2(server.url, Limits(keepalive=0.05))
        response = await ask(transport)
        assert await fetch(transport) == b"ok"
        await asyncio.sleep(0.1)
        assert len(server.lines) == 1
        response.close()
        await until(lambda: not server.lines and transport.open_connections == 0)


async def test_abandoned_answers_use_up_no_part_of_the_connections_window(server_of: Serve, http2: Make) -> None:
    """More than the connection's whole window is sent and never read, and it serves on."""

    async def floods(exchange: Exchange) -> None:
        await exchange.whole.wait()
        await exchange.head()
        await exchange.send(b"x" * 1_000_000, end=True)

    async def script(exchange: Exchange) -> None:
        await (answers if len(server.exchanges) > 120 else floods)(exchange)

    async with server_of(script) as server:
        transport = http2(server.url)
        for _ in range(120):
            response = await ask(transport)
            await response.read()
            await asyncio.sleep(0.001)
            response.close()
        assert await fetch(transport) == b"ok"
        assert server.accepted == 1


# The test that decides


async def moody(exchange: Exchange) -> None:
    rng = random.Random(exchange.number)
    await exchange.whole.wait()
    await asyncio.sleep(rng.random() * 0.002)
    if rng.random() < 0.02:
        exchange.reset(rng.choice([ErrorCodes.REFUSED_STREAM, ErrorCodes.INTERNAL_ERROR]))
        return
    await exchange.head()
    for _ in range(rng.randrange(4)):
        await exchange.send(b"abcde")
        await asyncio.sleep(rng.random() * 0.002)
    await exchange.send(b"e", end=True)
    if rng.random() < 0.003:
        exchange.line.transport.abort()


async def test_two_thousand_cancelled_requests_leave_nothing_behind(server_of: Serve, http2: Make) -> None:
    """Every one of them is told to the server; whether it connects, asks, or reads."""
    rng = random.Random(20_261)
    cancelled_in = {"opening": 0, "reading": 0}

    async def one(transport: Transport) -> None:
        lot = rng.choice(list(cancelled_in))
        response: Any = None

        def enters(phase: str) -> None:
            now = asyncio.get_running_loop().time()
            clock.reschedule(now + rng.random() * 0.003 if phase == lot else None)

        try:
            async with asyncio.timeout(None) as clock:
                enters("opening")
                response = await transport.open(b"/x", HEADERS, b"{}")
                enters("reading")
                await whole(response)
        except TimeoutError:
            cancelled_in[lot] += 1
        except (Broken, Unreachable):
            pass  # the server resets some
        finally:
            if response is not None:
                response.close()

    async def worker(transport: Transport) -> None:
        while sum(cancelled_in.values()) < 2_000:
            await one(transport)

    async with server_of(moody) as server:
        transport = http2(server.url, Limits(connections=25))
        await asyncio.gather(*[worker(transport) for _ in range(30)])
        assert min(cancelled_in.values()) > 100, cancelled_in
        assert server.accepted > 5
        assert server.resets[ErrorCodes.CANCEL] > 200
        assert server.faults == []
        server.scripts = (answers,)
        async with asyncio.timeout(5):
            assert await asyncio.gather(*[fetch(transport) for _ in range(20)]) == [b"ok"] * 20
        await until(lambda: not server.tasks)
        await transport.aclose()
        await until(lambda: not server.lines)
        gc.collect()


# Through a proxy


async def test_through_a_socks_proxy(server_of: Serve, http2: Make) -> None:
    async with server_of(answers) as server, SocksProxy() as proxy:
        transport = http2(server.url, proxy=Proxy.parse(proxy.url))
        assert [await fetch(transport) for _ in range(3)] == [b"ok"] * 3
        assert proxy.asked == [(1, "127.0.0.1", server.port)]
        await transport.aclose()
        await until(lambda: proxy.open_connections == 0)
