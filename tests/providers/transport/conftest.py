"""Every test here runs on asyncio's loop and on uvloop, and leaves no task, callback error or log behind."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme
import uvloop

from providers.transport.base import Limits, Transport
from providers.transport.beyond import beyond_lean
from providers.transport.httpx import HttpxTransport
from providers.transport.lean import LeanTransport
from tests.providers.transport.raw import until
from tests.providers.transport.socks import SocksProxy

UNBOUNDED = Limits()
Make = Callable[..., Transport]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
async def clean() -> AsyncIterator[None]:
    """No task is left running and nothing was reported to the loop's exception handler."""
    before = asyncio.all_tasks()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    yield
    gc.collect(1)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
    assert complaints == []


@pytest.fixture
async def lean() -> AsyncIterator[Make]:
    """Makes lean transports: `lean(url, limits, ssl_context)`."""
    made: list[Transport] = []

    def make(url: str, limits: Limits = UNBOUNDED, context: ssl.SSLContext | None = None) -> Transport:
        made.append(LeanTransport(url, limits, context))
        return made[-1]

    yield make
    for transport in made:
        await transport.aclose()
        assert transport.open_connections == 0


@pytest.fixture(params=["lean", "httpx", "socks"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes transports of each engine that speaks HTTP/1.1: `engine(url, limits)`; "socks" goes through a proxy."""
    made: list[Transport] = []

    async with SocksProxy() as proxy:

        def make(url: str, limits: Limits = UNBOUNDED) -> Transport:
            if request.param == "socks":
                made.append(beyond_lean(url, limits, proxy=proxy.url))
            else:
                made.append({"lean": LeanTransport, "httpx": HttpxTransport}[request.param](url, limits))
            return made[-1]

        yield make
        for transport in made:
            await transport.aclose()
            assert transport.open_connections == 0
        await until(lambda: proxy.open_connections == 0)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts `authority`."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context
