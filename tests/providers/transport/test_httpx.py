"""The httpx transport: any of httpx's transports behind our protocol, its options, and its errors as ours."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import trustme
from aiohttp import http_exceptions

from providers.errors import BadAnswer, Broken, ConnectTimeout, ProviderError, TimedOut, Unreachable
from providers.transport.base import Limits
from providers.transport.faults import FOREIGN, nearest, translated
from providers.transport.httpx import HttpxTransport
from tests.providers.transport.conftest import serving
from tests.providers.transport.raw import Peer, RawServer, ok, serve, until
from tests.providers.transport.test_engines import ask, begun, fetch, refused_port

URL = "https://provider.test/v1"


class Chunks(httpx.AsyncByteStream):
    """A body that gives its pieces, then raises, or waits for ever where an item is None."""

    def __init__(self, *items: bytes | Exception | None) -> None:
        self.items = items
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for item in self.items:
            if item is None:
                await asyncio.Event().wait()
            elif isinstance(item, Exception):
                raise item
            else:
                yield item

    async def aclose(self) -> None:
        self.closed = True


def over(handler: object, limits: Limits | None = None) -> HttpxTransport:
    mock = httpx.MockTransport(handler)  # type: ignore[arg-type]
    return HttpxTransport(URL, limits or Limits(), transport=mock)


async def test_a_mock_transport_stands_in_for_a_provider() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(429, headers={"Retry-After": "3"}, content=b"slow down")

    transport = over(handler)
    response = await ask(transport, b"{}")
    assert (response.status, response.headers["retry-after"]) == (429, "3")
    assert [await response.read(), await response.read()] == [b"slow down", b""]
    response.close()
    await transport.aclose()
    assert asked[0].url == "https://provider.test/v1/chat/completions"
    assert asked[0].content == b"{}"
    assert asked[0].headers["host"] == "provider.test"
    assert "user-agent" not in asked[0].headers


async def test_a_large_body_reaches_any_transport_whole() -> None:
    body = b"0123456789" * 100_000
    transport = over(lambda request: httpx.Response(200, content=b"%d" % len(request.content)))
    assert await fetch(transport, body) == b"1000000"
    await transport.aclose()


async def test_abort_wakes_a_reader_of_a_transport_that_would_wait_for_ever() -> None:
    stream = Chunks(b"first", None)
    transport = over(lambda _: httpx.Response(200, stream=stream), Limits(connections=1))
    response = await ask(transport)
    assert await response.read() == b"first"
    reader = begun(response.read())
    await asyncio.sleep(0)
    response.abort(TimedOut("idle"))
    with pytest.raises(TimedOut, match="idle"):
        await reader
    await transport.aclose()
    assert stream.closed
    assert transport.open_connections == 0


async def test_close_wakes_a_reader_too_and_gives_the_slot_back() -> None:
    streams = [Chunks(None), Chunks(b"next")]
    transport = over(lambda _: httpx.Response(200, stream=streams.pop(0)), Limits(connections=1))
    response = await ask(transport)
    reader = begun(response.read())
    await asyncio.sleep(0)
    response.close()
    with pytest.raises(Broken):
        await reader
    assert await fetch(transport) == b"next"
    await transport.aclose()


async def test_a_cancelled_read_closes_the_stream() -> None:
    stream = Chunks(None)
    transport = over(lambda _: httpx.Response(200, stream=stream))
    reader = begun((await ask(transport)).read())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await until(lambda: stream.closed)
    await transport.aclose()


# Errors


def below(*roots: type[BaseException]) -> Iterator[type[BaseException]]:
    for root in roots:
        yield root
        yield from below(*root.__subclasses__())


def public(module: object) -> set[type[BaseException]]:
    return {
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Exception) and not issubclass(value, Warning)
    }


def test_every_error_either_library_has_is_caught_and_has_a_row() -> None:
    theirs = public(httpx) | (public(aiohttp) - {aiohttp.WSMessageTypeError}) | public(http_exceptions)
    assert len(theirs) > 60
    uncaught = {kind for kind in theirs if not issubclass(kind, FOREIGN)} - {
        http_exceptions.ContentEncodingError,
        aiohttp.EofStream,
        aiohttp.WebSocketError,
    }
    assert uncaught == set()
    for kind in {*theirs, *below(*FOREIGN)} & {kind for kind in below(*FOREIGN)}:
        assert issubclass(nearest(kind), ProviderError), kind


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (httpx.ConnectTimeout, ConnectTimeout),
        (httpx.ReadTimeout, TimedOut),
        (httpx.WriteTimeout, TimedOut),
        (httpx.PoolTimeout, Unreachable),
        (httpx.ConnectError, Unreachable),
        (httpx.ReadError, Broken),
        (httpx.WriteError, Broken),
        (httpx.CloseError, Broken),
        (httpx.ProxyError, Unreachable),
        (httpx.UnsupportedProtocol, Unreachable),
        (httpx.LocalProtocolError, Broken),
        (httpx.RemoteProtocolError, Broken),
        (httpx.DecodingError, BadAnswer),
        (httpx.TooManyRedirects, BadAnswer),
        (httpx.InvalidURL, Unreachable),
        (httpx.CookieConflict, BadAnswer),
        (httpx.StreamError, Broken),
        (ConnectionResetError, Unreachable),
        (ssl.SSLError, Unreachable),
        (TimeoutError, TimedOut),
    ],
)
async def test_an_error_while_asking_is_ours_and_quotes_nothing(
    kind: type[Exception], ours: type[ProviderError]
) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise kind("Bearer canary")

    transport = over(handler, Limits(connections=1))
    for _ in range(2):
        with pytest.raises(ProviderError, match=r"provider\.test:443") as caught:
            await ask(transport)
        assert type(caught.value) is ours
        assert "canary" not in caught.value.message
    await transport.aclose()


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (httpx.ReadError, Broken),
        (httpx.ReadTimeout, Broken),
        (httpx.ConnectTimeout, Broken),
        (httpx.RemoteProtocolError, Broken),
        (httpx.DecodingError, BadAnswer),
        (httpx.StreamError, Broken),
        (ConnectionResetError, Broken),
        (aiohttp.ClientPayloadError, Broken),
    ],
)
async def test_an_error_within_the_body_is_ours_too(kind: type[Exception], ours: type[ProviderError]) -> None:
    transport = over(lambda _: httpx.Response(200, stream=Chunks(b"abc", kind("canary"))))
    response = await ask(transport)
    assert await response.read() == b"abc"
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            await response.read()
        assert type(caught.value) is ours
        assert "canary" not in caught.value.message
    await transport.aclose()


def test_what_aiohttp_meant_is_read_from_the_cause() -> None:
    """httpx-aiohttp calls a lost connection a ConnectTimeout."""
    error = httpx.ConnectTimeout("")
    error.__cause__ = aiohttp.ServerDisconnectedError()
    assert type(translated(error, "peer:1", answering=False)) is Unreachable


# Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"proxy": "socks5://127.0.0.1:1080"}, "proxy: only"),
        ({"proxy": "http://user:secret@127.0.0.1:1080"}, "proxy: only"),
        ({"ca_file": "/nonexistent/ca.pem"}, "cannot load /nonexistent/ca.pem: no such file"),
        ({"cert_file": "/nonexistent/c.pem", "key_file": "/k.pem"}, "cannot load /nonexistent/c.pem, /k.pem"),
        ({"transport": httpx.MockTransport(lambda _: httpx.Response(200)), "ca_file": "x"}, "its own options"),
    ],
)
def test_what_cannot_be_done_is_refused_at_construction(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HttpxTransport(URL, Limits(), **options)  # type: ignore[arg-type]


async def test_a_proxy_is_asked_for_the_whole_url() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b"by proxy")

    async with RawServer(script) as proxy:
        transport = HttpxTransport("http://provider.test/v1", Limits(), proxy=f"http://127.0.0.1:{proxy.port}")
        assert await fetch(transport) == b"by proxy"
        await transport.aclose()
        assert proxy.requests[0].startswith(b"POST http://provider.test/v1/chat/completions HTTP/1.1\r\n")


async def test_a_proxy_that_is_not_there_is_unreachable() -> None:
    transport = HttpxTransport(URL, Limits(), proxy=f"http://127.0.0.1:{refused_port()}")
    with pytest.raises(Unreachable, match="connection refused"):
        await ask(transport)
    await transport.aclose()


async def test_a_client_certificate_and_an_authority_of_ones_own(authority: trustme.CA, tmp_path: Path) -> None:
    ours = authority.issue_cert("client@turnout.test")
    files = {"ca_file": tmp_path / "ca.pem", "cert_file": tmp_path / "cert.pem", "key_file": tmp_path / "key.pem"}
    authority.cert_pem.write_to_path(files["ca_file"])
    ours.cert_chain_pems[0].write_to_path(files["cert_file"])
    ours.private_key_pem.write_to_path(files["key_file"])
    context = serving(authority.issue_cert("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    seen: list[object] = []

    async def script(peer: Peer) -> None:
        seen.append(peer.writer.get_extra_info("peercert")["subjectAltName"])
        await serve(peer)

    async with RawServer(script, context=context) as server:
        transport = HttpxTransport(
            server.url,
            Limits(),
            ca_file=str(files["ca_file"]),
            cert_file=str(files["cert_file"]),
            key_file=str(files["key_file"]),
        )
        assert await fetch(transport) == b"ok"
        await transport.aclose()
        assert seen == [(("email", "client@turnout.test"),)]


async def test_an_unknown_authority_is_refused_by_default(authority: trustme.CA) -> None:
    async with RawServer(serve, context=serving(authority.issue_cert("127.0.0.1"))) as server:
        transport = HttpxTransport(server.url, Limits())
        with pytest.raises(Unreachable, match="its certificate is not trusted: "):
            await ask(transport)
        await transport.aclose()
        assert server.requests == []


async def test_a_handshake_that_never_ends_is_a_connect_timeout() -> None:
    async def nothing(peer: Peer) -> None:
        pass

    async with RawServer(nothing) as server:
        transport = HttpxTransport(f"https://127.0.0.1:{server.port}", Limits(connect_timeout=0.05))
        with pytest.raises(ConnectTimeout):
            await ask(transport)
        await until(lambda: server.open_connections == 0)
        await transport.aclose()


async def test_a_stale_connection_is_not_replaced_by_another_stale_one() -> None:
    """The one retry goes to a fresh connection, however many idle ones there are."""
    together = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.server.accepted == 3:
            together.set()
        await together.wait()
        await peer.send(ok())
        await peer.request()
        await peer.close()

    async with RawServer(script, script, script, serve) as server:
        transport = HttpxTransport(server.url, Limits())
        assert await asyncio.gather(*[fetch(transport) for _ in range(3)]) == [b"ok"] * 3
        assert await fetch(transport) == b"ok"
        assert (server.accepted, len(server.requests)) == (4, 5)
        await transport.aclose()


def test_the_answers_of_raw_are_http() -> None:
    assert ok(b"abc", b"A: b") == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\nabc"
