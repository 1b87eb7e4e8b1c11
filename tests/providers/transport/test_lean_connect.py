"""How lean connects: addresses and their race, TLS and whom it trusts, timeouts and cancellation within."""

from __future__ import annotations

import asyncio
import datetime
import random
import socket
import ssl

import pytest
import trustme

from providers.errors import ConnectTimeout, Unreachable
from providers.transport import dial
from providers.transport.base import Limits
from providers.transport.dial import Address
from tests.providers.transport.conftest import Make, serving
from tests.providers.transport.raw import Peer, RawServer, Script, serve, until
from tests.providers.transport.test_engines import ask, begun, fetch, refused_port

UNBOUNDED = Limits()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


# Addresses


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_an_ipv6_address_is_reached_and_named_in_brackets(lean: Make) -> None:
    async with RawServer(serve, host="::1") as server:
        assert await fetch(lean(server.url)) == b"ok"
        assert b"host: [::1]:%d" % server.port in server.requests[0]
    with pytest.raises(Unreachable, match=rf"could not connect to \[::1\]:{server.port}: connection refused"):
        await ask(lean(server.url))


def resolves(monkeypatch: pytest.MonkeyPatch, *hosts: tuple[str, int]) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [Address(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)) for host, port in hosts]

    monkeypatch.setattr(dial, "resolve", resolve)


async def test_a_refused_address_gives_way_to_the_next_at_once(lean: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(serve) as server:
        resolves(monkeypatch, ("::1", refused_port()), ("127.0.0.2", refused_port()), ("127.0.0.1", server.port))
        monkeypatch.setattr(dial, "ATTEMPT_DELAY", 1000)
        assert await fetch(lean("http://provider.test")) == b"ok"


async def test_a_silent_address_is_overtaken_by_the_next(lean: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with full_backlog() as silent:
        async with RawServer(serve) as server:
            resolves(monkeypatch, silent.getsockname(), ("127.0.0.1", server.port))
            monkeypatch.setattr(dial, "ATTEMPT_DELAY", 0.01)
            assert await fetch(lean("http://provider.test")) == b"ok"


async def test_when_every_address_fails_the_last_reason_is_told(lean: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, ("127.0.0.1", refused_port()), ("127.0.0.2", refused_port()))
    with pytest.raises(Unreachable, match=r"could not connect to provider\.test:80: connection refused"):
        await ask(lean("http://provider.test"))


async def test_a_name_without_addresses_is_unreachable(lean: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch)
    with pytest.raises(Unreachable, match="the name has no address"):
        await ask(lean("http://provider.test"))


def test_families_take_turns() -> None:
    six = [Address(socket.AF_INET6, (f"::{number}", 1, 0, 0)) for number in (1, 2, 3)]
    four = [Address(socket.AF_INET, ("127.0.0.1", 1))]
    assert list(dial._taking_turns(six + four)) == [six[0], four[0], six[1], six[2]]
    assert list(dial._taking_turns([])) == []


class full_backlog:
    """A listening socket that accepts nobody: connecting to it hangs."""

    def __enter__(self) -> socket.socket:
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(0)
        self.waiting = [socket.socket() for _ in range(4)]
        for sock in self.waiting:
            sock.setblocking(False)
            sock.connect_ex(self.listening.getsockname())
        return self.listening

    def __exit__(self, *_: object) -> None:
        for sock in (self.listening, *self.waiting):
            sock.close()


async def test_cancelled_while_it_connects(lean: Make) -> None:
    with full_backlog() as silent:
        transport = lean(f"http://127.0.0.1:{silent.getsockname()[1]}", Limits(connections=1))
        for _ in range(3):
            task = begun(ask(transport))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert transport.open_connections == 0


# TLS


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority.issue_cert("localhost", "127.0.0.1"))


async def test_a_trusted_certificate_is_accepted_and_the_connection_kept(
    lean: Make, certificate: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with RawServer(serve, context=certificate) as server:
        transport = lean(server.url, UNBOUNDED, trusting)
        assert [await fetch(transport) for _ in range(3)] == [b"ok"] * 3
        assert server.accepted == 1


async def test_the_hosts_name_is_sent_as_sni(
    lean: Make, certificate: ssl.SSLContext, trusting: ssl.SSLContext, authority: trustme.CA
) -> None:
    names: list[str] = []
    context = serving(authority.issue_cert("localhost"))
    context.sni_callback = lambda _, name, __: names.append(name)
    async with RawServer(serve, context=context) as server:
        assert await fetch(lean(f"https://localhost:{server.port}", UNBOUNDED, trusting)) == b"ok"
    assert names == ["localhost"]


async def refused_for(lean: Make, server: RawServer, reason: str, context: ssl.SSLContext | None) -> None:
    transport = lean(server.url, Limits(connections=1), context)
    for _ in range(2):
        with pytest.raises(Unreachable) as caught:
            await ask(transport)
        message = caught.value.message
        assert message.startswith(f"could not connect to 127.0.0.1:{server.port}: its certificate is not trusted: ")
        assert reason in message
    assert transport.open_connections == 0
    assert server.requests == []
    await until(lambda: server.open_connections == 0)


async def test_a_certificate_of_an_unknown_authority_is_refused_by_default(
    lean: Make, certificate: ssl.SSLContext
) -> None:
    async with RawServer(serve, context=certificate) as server:
        await refused_for(lean, server, "unable to get local issuer certificate", None)


async def test_a_self_signed_certificate_is_refused(lean: Make, trusting: ssl.SSLContext) -> None:
    alone = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with alone.cert_pem.tempfile() as cert, alone.private_key_pem.tempfile() as key:
        context.load_cert_chain(cert, key)
    async with RawServer(serve, context=context) as server:
        await refused_for(lean, server, "self-signed certificate", trusting)


async def test_an_expired_certificate_is_refused(lean: Make, authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    context = serving(authority.issue_cert("127.0.0.1", not_after=yesterday))
    async with RawServer(serve, context=context) as server:
        await refused_for(lean, server, "certificate has expired", trusting)


async def test_a_certificate_for_another_host_is_refused(
    lean: Make, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with RawServer(serve, context=serving(authority.issue_cert("elsewhere.example"))) as server:
        await refused_for(lean, server, "IP address mismatch, certificate is not valid for '127.0.0.1'", trusting)


async def test_a_server_that_speaks_no_tls_is_unreachable(lean: Make, trusting: ssl.SSLContext) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with RawServer(script) as server:
        transport = lean(f"https://127.0.0.1:{server.port}", Limits(connections=1), trusting)
        with pytest.raises(Unreachable, match=f"could not connect to 127.0.0.1:{server.port}: TLS failed"):
            await ask(transport)
        await until(lambda: server.open_connections == 0)


async def nothing(peer: Peer) -> None:
    pass


async def hangs_up(peer: Peer) -> None:
    await peer.reader.read(1)
    await peer.close()


async def resets(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.reset()


async def test_a_server_that_never_answers_the_handshake_is_a_connect_timeout(
    lean: Make, trusting: ssl.SSLContext
) -> None:
    async with RawServer(nothing) as server:
        transport = lean(f"https://127.0.0.1:{server.port}", Limits(connections=1, connect_timeout=0.05), trusting)
        for _ in range(2):
            with pytest.raises(ConnectTimeout, match=r"could not connect to 127.0.0.1:\d+ within 0.05 s"):
                await ask(transport)
        await until(lambda: server.open_connections == 0)
        assert transport.open_connections == 0


@pytest.mark.parametrize("script", [hangs_up, resets])
async def test_a_server_that_leaves_during_the_handshake_is_unreachable(
    lean: Make, trusting: ssl.SSLContext, script: Script
) -> None:
    async with RawServer(script) as server:
        with pytest.raises(Unreachable, match="could not connect to"):
            await ask(lean(f"https://127.0.0.1:{server.port}", UNBOUNDED, trusting))


async def test_cancelled_during_the_handshake(lean: Make, trusting: ssl.SSLContext) -> None:
    async with RawServer(nothing) as server:
        transport = lean(f"https://127.0.0.1:{server.port}", Limits(connections=1), trusting)
        for count in range(1, 4):
            task = begun(ask(transport))
            await until(lambda count=count: server.accepted == count)
            await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: server.open_connections == 0)
        assert transport.open_connections == 0


async def test_cancelled_at_any_moment_of_connecting_and_asking_over_tls(
    lean: Make, certificate: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    rng = random.Random(7)

    async def script(peer: Peer) -> None:
        while True:
            await peer.answer(b"ok", b"Connection: close")

    async with RawServer(script, context=certificate) as server:
        transport = lean(server.url, Limits(connections=3), trusting)
        for _ in range(60):
            tasks = [begun(fetch(transport)) for _ in range(5)]
            for _ in range(rng.randrange(40)):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert await asyncio.gather(*[fetch(transport) for _ in range(6)]) == [b"ok"] * 6
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)


async def test_large_bodies_go_both_ways_over_tls(
    lean: Make, certificate: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    body = random.Random(3).randbytes(3_000_000)

    async def script(peer: Peer) -> None:
        while True:
            got = await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(got), got)

    async with RawServer(script, context=certificate) as server:
        transport = lean(server.url, UNBOUNDED, trusting)
        for _ in range(2):
            assert await fetch(transport, body) == body
        assert server.accepted == 1


async def test_cancelled_in_the_midst_of_a_body_over_tls(
    lean: Make, certificate: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await peer.gone()

    async with RawServer(script, serve, context=certificate) as server:
        transport = lean(server.url, Limits(connections=1), trusting)
        response = await ask(transport)
        assert await response.read() == b"abc"
        reader = begun(response.read())
        await asyncio.sleep(0.01)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)
        assert await fetch(transport) == b"ok"
