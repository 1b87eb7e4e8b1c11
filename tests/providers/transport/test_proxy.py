"""Proxies, SOCKS5 and CONNECT: what is asked of them, what they may answer, and the engine each option gets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from providers.errors import ConnectTimeout, Unreachable
from providers.transport.base import Limits
from providers.transport.beyond import beyond_lean
from providers.transport.http2 import Http2Transport
from providers.transport.httpx import HttpxTransport
from providers.transport.lean import LeanTransport
from providers.transport.proxy import Proxy
from providers.transport.tls import client_context
from tests.providers.transport.conftest import serving
from tests.providers.transport.h2peer import Exchange, H2Server
from tests.providers.transport.raw import Peer, RawServer, serve, until
from tests.providers.transport.socks import SocksProxy, _relay
from tests.providers.transport.test_engines import ask, begun, cancelled, fetch, refused_port

URL = "http://provider.test/v1"


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


async def test_the_proxy_is_given_the_name_and_nobody_resolves_it_here() -> None:
    async with SocksProxy() as proxy:
        for scheme in ("socks5", "socks5h"):
            url = proxy.url.replace("socks5", scheme)
            transport = beyond_lean("http://provider.invalid:81", Limits(), proxy=url)
            with pytest.raises(Unreachable, match=r"^could not connect to provider\.invalid:81 through the proxy "):
                await ask(transport)
            await transport.aclose()
        assert proxy.asked == [(3, "provider.invalid", 81)] * 2


async def test_an_ipv6_address_is_given_as_such() -> None:
    async with RawServer(serve, host="::1") as server, SocksProxy() as proxy:
        transport = beyond_lean(server.url, Limits(), proxy=proxy.url)
        assert await fetch(transport) == b"ok"
        assert proxy.asked == [(4, "::1", server.port)]
        await transport.aclose()


async def test_tls_goes_through_the_tunnel_and_is_verified_against_the_providers_name(
    authority: trustme.CA, ca_file: str
) -> None:
    async with (
        RawServer(serve, context=serving(authority.issue_cert("localhost"))) as server,
        SocksProxy() as proxy,
    ):
        good = beyond_lean(f"https://localhost:{server.port}", Limits(), proxy=proxy.url, ca_file=ca_file)
        assert await fetch(good) == b"ok"
        misnamed = beyond_lean(f"https://127.0.0.1:{server.port}", Limits(), proxy=proxy.url, ca_file=ca_file)
        unknown = beyond_lean(f"https://localhost:{server.port}", Limits(), proxy=proxy.url)
        for transport in (misnamed, unknown):
            with pytest.raises(Unreachable, match="its certificate is not trusted"):
                await ask(transport)
        assert len(server.requests) == 1
        for transport in (good, misnamed, unknown):
            await transport.aclose()
        await until(lambda: proxy.open_connections == 0)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\x05\xff", "the proxy asks for a user and password, which are not supported"),
        (b"\x05\x02", "the proxy asks for a user and password, which are not supported"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the proxy does not speak SOCKS5"),
        (b"\x05\x00\x05\x02\x00\x01" + bytes(6), "the proxy does not allow it"),
        (b"\x05\x00\x05\x04\x00\x01" + bytes(6), "host is unreachable"),
        (b"\x05\x00\x05\x63\x00\x01" + bytes(6), "the proxy refused"),
        (b"\x05\x00\x04\x00\x00\x01" + bytes(6), "the proxy does not speak SOCKS5"),
        (b"\x05\x00\x05\x00\x00\x09" + bytes(6), "the proxy does not speak SOCKS5"),
    ],
)
async def test_a_proxy_that_does_not_do_it_is_unreachable_and_the_message_says_why(said: bytes, reason: str) -> None:
    async with SocksProxy(script=said) as proxy:
        transport = beyond_lean(URL, Limits(), proxy=proxy.url)
        with pytest.raises(Unreachable) as caught:
            await ask(transport)
        where = f"could not connect to provider.test:80 through the proxy 127.0.0.1:{proxy.port}"
        assert caught.value.message == f"{where}: {reason}"
        await until(lambda: proxy.open_connections == 0)
        await transport.aclose()


async def test_a_proxy_that_closes_or_is_not_there_is_unreachable() -> None:
    async def closes(peer: Peer) -> None:
        await peer.reader.readexactly(3)
        await peer.close()

    async with RawServer(closes) as server:
        transport = beyond_lean(URL, Limits(), proxy=f"socks5://127.0.0.1:{server.port}")
        with pytest.raises(Unreachable, match="the proxy closed the connection"):
            await ask(transport)
        await transport.aclose()
    transport = beyond_lean(URL, Limits(), proxy=f"socks5://127.0.0.1:{refused_port()}")
    with pytest.raises(Unreachable, match="connection refused"):
        await ask(transport)
    await transport.aclose()


async def test_a_proxy_that_is_silent_is_a_connect_timeout_and_a_cancelled_wait_leaves_no_connection() -> None:
    async with SocksProxy(script=b"") as proxy:
        transport = beyond_lean(URL, Limits(connect_timeout=0.1), proxy=proxy.url)
        with pytest.raises(ConnectTimeout, match="through the proxy"):
            await ask(transport)
        await until(lambda: proxy.open_connections == 0)
        patient = beyond_lean(URL, Limits(), proxy=proxy.url)
        task = begun(ask(patient))
        await until(lambda: proxy.open_connections)
        await cancelled(task)
        await until(lambda: proxy.open_connections == 0)
        await transport.aclose()
        await patient.aclose()


# CONNECT, which HTTP/2 needs of an HTTP proxy


def connecting(port: int, before: bytes = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n") -> RawServer:
    """A proxy that does CONNECT, to 127.0.0.1:`port` whatever is asked."""

    async def script(peer: Peer) -> None:
        await peer.head()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        await peer.send(*[bytes([byte]) for byte in before])
        await _relay(peer.reader, peer.writer, up_reader, up_writer)

    return RawServer(script)


async def test_http2_goes_through_an_http_proxy(authority: trustme.CA, ca_file: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(b"over h2")

    async with (
        H2Server(serving(authority.issue_cert("provider.test")), script) as server,
        connecting(server.port) as proxy,
    ):
        transport = beyond_lean(
            "https://provider.test/v1", Limits(), proxy=f"http://127.0.0.1:{proxy.port}", http2=True, ca_file=ca_file
        )
        assert [await fetch(transport) for _ in range(2)] == [b"over h2"] * 2
        assert proxy.requests == [b"CONNECT provider.test:443 HTTP/1.1\r\nHost: provider.test:443\r\n\r\n"]
        await transport.aclose()
        await until(lambda: proxy.open_connections == 0)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy answered 407"),
        (b"HTTP/1.1 502 canary\r\nContent-Length: 0\r\n\r\n", "the proxy answered 502"),
        (b"SSH-2.0-canary\r\n\r\n", "the proxy did not answer in proper HTTP"),
        (b"HTTP/1.1 2\r\n\r\n", "the proxy did not answer in proper HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nand more", "the proxy did not answer in proper HTTP"),
        (b"a" * 20_000, "the proxy did not answer in proper HTTP"),
        (b"HTTP/1.1 200", "the proxy did not answer in proper HTTP"),
    ],
)
async def test_an_http_proxy_that_does_not_tunnel_is_unreachable(said: bytes, reason: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(said)
        if said.endswith(b"200"):
            await peer.close()

    async with RawServer(script) as proxy:
        transport = beyond_lean("https://provider.test", Limits(), proxy=f"http://127.0.0.1:{proxy.port}", http2=True)
        with pytest.raises(Unreachable) as caught:
            await ask(transport)
        assert caught.value.message.endswith(f": {reason}")
        await until(lambda: proxy.open_connections == 0)
        await transport.aclose()


# Options


@pytest.mark.parametrize(
    ("make", "engine"),
    [
        (lambda: beyond_lean("https://h", Limits()), HttpxTransport),
        (lambda: beyond_lean("https://h", Limits(), proxy="http://p:1"), HttpxTransport),
        (lambda: beyond_lean("https://h", Limits(), proxy="socks5://p"), LeanTransport),
        (lambda: beyond_lean("https://h", Limits(), proxy="socks5h://p", http2=True), Http2Transport),
        (lambda: beyond_lean("https://h", Limits(), http2=True), Http2Transport),
    ],
)
async def test_each_option_gets_the_engine_that_can_do_it(make: Callable[[], object], engine: type) -> None:
    assert type(make()) is engine


@pytest.mark.parametrize(
    ("url", "proxy", "http2", "said"),
    [
        ("http://h", None, True, "http2: needs an https:// base URL"),
        ("https://h", "https://p:1", True, "proxy: only socks5"),
        ("https://h", "socks5://user:secret@p:1", False, "proxy: only socks5"),
        ("https://h", "socks5://", False, "proxy: only socks5"),
        ("https://h", "ftp://p", False, "proxy: only http"),
    ],
)
def test_what_cannot_be_done_is_refused_at_construction(url: str, proxy: str | None, http2: bool, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        beyond_lean(url, Limits(), proxy=proxy, http2=http2)
    assert "secret" not in str(caught.value)


def test_the_ports_of_proxies_have_their_usual_defaults() -> None:
    assert [Proxy.parse(f"{scheme}://p").port for scheme in ("socks5", "http")] == [1080, 80]


def test_certificates_that_cannot_be_used_are_named(authority: trustme.CA, tmp_path: Path) -> None:
    ours, other = authority.issue_cert("a.test"), authority.issue_cert("b.test")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.key")
    (tmp_path / "empty.pem").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot load .*empty\.pem"):
        client_context(str(tmp_path / "empty.pem"))
    with pytest.raises(ValueError, match=r"cannot load .*cert\.pem, .*other\.key: TLS failed: key values mismatch"):
        client_context(None, str(tmp_path / "cert.pem"), str(tmp_path / "other.key"))


async def test_a_client_certificate_is_shown_over_http2(authority: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    ours = authority.issue_cert("client@turnout.test")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    context = serving(authority.issue_cert("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)

    async def script(exchange: Exchange) -> None:
        await exchange.answer()

    async with H2Server(context, script) as server:
        known = beyond_lean(server.url, Limits(), http2=True, ca_file=ca_file, cert_file=str(tmp_path / "both.pem"))
        assert await fetch(known) == b"ok"
        unknown = beyond_lean(server.url, Limits(), http2=True, ca_file=ca_file)
        with pytest.raises(Unreachable):
            await ask(unknown)
        await known.aclose()
        await unknown.aclose()
