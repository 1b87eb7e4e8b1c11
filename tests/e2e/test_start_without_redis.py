"""A Redis that cannot be used is said at the start, and nothing is served: exit code 2."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from tests.contract.servers import free_port
from tests.e2e.harness import Bench, Offer, configuration, env_name
from tests.e2e.replicas import ROOT

COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n([A-Z]+)\r\n")
OLD = b"redis_version:5.0.7\r\n"


@asynccontextmanager
async def old_redis() -> AsyncIterator[int]:
    """As much of an old server as is looked at: the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            for name in COMMAND.findall(data):
                writer.write(b"$%d\r\n%s\r\n" % (len(OLD), OLD) if name == b"EVAL" else b"+OK\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def said_at_the_start(bench: Bench, folder: Path, port: int) -> tuple[int | None, str]:
    offer = Offer(await bench.box(), "only")
    path = folder / "turnout.yaml"
    path.write_text(yaml.safe_dump(configuration([offer], state={"url": f"redis://127.0.0.1:{port}/0"})))
    command = [sys.executable, "-m", "router", "serve", "--config", str(path), "--port", "0"]
    environ = {**os.environ, env_name(offer.slug): offer.box.key or ""}
    piped = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=piped, stderr=piped, env=environ, cwd=ROOT)
    async with asyncio.timeout(30):
        _, complaint = await process.communicate()
    return process.returncode, complaint.decode()


async def test_one_that_is_not_there(bench: Bench, tmp_path: Path) -> None:
    port = free_port()
    code, complaint = await said_at_the_start(bench, tmp_path, port)
    assert code == 2
    assert f"Redis at 127.0.0.1:{port} cannot be used" in complaint
    assert "Traceback" not in complaint


async def test_one_that_is_too_old(bench: Bench, tmp_path: Path) -> None:
    async with old_redis() as port:
        code, complaint = await said_at_the_start(bench, tmp_path, port)
    assert code == 2
    assert f"Redis at 127.0.0.1:{port} is version 5.0.7; Turnout needs 6.2 or newer." in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:{port}", "redis+sentinel://127.0.0.1:{port}/main"])
async def test_other_forms_of_its_url_are_understood_by_the_file_too(bench: Bench, tmp_path: Path, url: str) -> None:
    port = free_port()
    gateway = bench.gateway([Offer(await bench.box(), "only")], state={"url": url.format(port=port), "required": False})
    assert (await gateway).gateway.store.status().ok is False
