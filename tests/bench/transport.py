"""What a transport costs per request, as a ratio to a bare asyncio protocol: python -m tests.bench.transport."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import cast

import uvloop

from providers.transport.base import Header, Limits, Transport
from providers.transport.httpx import HttpxTransport
from providers.transport.lean import LeanTransport

CONCURRENCY = 32
SECONDS = 0.8
EVENTS = 100
HEADERS: list[Header] = [
    (b"authorization", b"Bearer benchmark"),
    (b"content-type", b"application/json"),
    (b"accept", b"text/event-stream"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"turnout"),
]
BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 1000 + b'"}]}'
WHOLE = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: bench\r\n"
    b"content-type: application/json\r\nx-request-id: 0123456789\r\ncontent-length: 500\r\n\r\n" + b"y" * 500
)
EVENT = b'data: {"choices":[{"delta":{"content":"' + b"z" * 160 + b'"}}]}\n\n'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)

Request = Callable[[bool], Awaitable[None]]


class Server(asyncio.Protocol):
    """Answers whatever ends a request's body with constant bytes; /stream with a chunk per loop turn."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(BODY):
            stream = b"/stream" in self.received[:40]
            self.received = b""
            if stream:
                self.transport.write(STREAM_HEAD)
                self.send(EVENTS)
            else:
                self.transport.write(WHOLE)

    def send(self, left: int) -> None:
        self.transport.write(CHUNK if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_soon(self.send, left - 1)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Bare(asyncio.Protocol):
    """The least a client can do: write constant bytes, wait for the known end of the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.loop = asyncio.get_running_loop()
        self.end = b""
        self.waiter: asyncio.Future[None] = self.loop.create_future()

    def data_received(self, data: bytes) -> None:
        if data.endswith(self.end):
            self.waiter.set_result(None)

    async def ask(self, request: bytes, end: bytes) -> None:
        self.end = end
        self.waiter = self.loop.create_future()
        self.transport.write(request)
        await self.waiter


def bare(port: int) -> Request:
    idle: list[Bare] = []
    head = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
    requests = {
        stream: b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%b\r\n%b"
        % (b"/stream" if stream else b"/whole", len(BODY), head, BODY)
        for stream in (False, True)
    }

    async def request(stream: bool) -> None:
        if idle:
            client = idle.pop()
        else:
            _, client = await asyncio.get_running_loop().create_connection(Bare, "127.0.0.1", port)
        await client.ask(requests[stream], b"0\r\n\r\n" if stream else b"yyy")
        idle.append(client)

    return request


def over(transport: Transport) -> Request:
    async def request(stream: bool) -> None:
        response = await transport.open(b"/stream" if stream else b"/whole", HEADERS, BODY)
        while await response.read():
            pass
        response.close()

    return request


async def measure(request: Request, stream: bool) -> tuple[float, float]:
    """Requests a second, and microseconds of this process's CPU per request."""
    count = 0
    until = 0.0

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() < until:
            await request(stream)
            count += 1

    for seconds in (0.1, SECONDS):
        count, start, cpu = 0, time.perf_counter(), time.process_time()
        until = start + seconds
        await asyncio.gather(*[worker() for _ in range(CONCURRENCY)])
    return count / (time.perf_counter() - start), (time.process_time() - cpu) / count * 1e6


async def compare(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    lean, httpx = LeanTransport(url, Limits()), HttpxTransport(url, Limits())
    clients = {"bare protocol": bare(port), "lean": over(lean), "httpx (aiohttp)": over(httpx)}
    for stream, unit in ((False, "requests"), (True, f"streams of {EVENTS} events")):
        print(f"{'client':<16} {f'{unit}/s':>26} {'µs CPU each':>12} {'× bare':>7}")
        floor = 0.0
        for name, request in clients.items():
            rate, cpu = await measure(request, stream)
            floor = floor or cpu
            print(f"{name:<16} {rate:>26,.0f} {cpu:>12,.1f} {cpu / floor:>7.2f}")
    await lean.aclose()
    await httpx.aclose()


def main() -> None:
    """Measure, with the server in a process of its own; about six seconds."""
    command = [sys.executable, "-m", "tests.bench.transport", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(compare(port))
        finally:
            server.kill()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
    else:
        main()
