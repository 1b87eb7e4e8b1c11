"""Gateways as processes of their own: `turnout serve` on a file, talked to over sockets and signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.harness import CANARY, Offer, configuration, env_name
from tests.e2e.talk import Said, ask, get, post

ROOT = Path(__file__).parent.parent.parent
KEY = "sk-to-0123456789abcdefghij"
ADMIN = "sk-admin-0123456789abcdef"
AS_KEY = {"authorization": f"Bearer {KEY}"}
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}


class Replica:
    """A process that serves. What it logs is kept in `log`."""

    def __init__(self, path: Path, environ: Mapping[str, str], *arguments: str) -> None:
        self.port = 0
        self.url = ""
        self.base_url = ""
        self.banner = ""
        self.log = path.with_suffix(f".{id(self)}.log")
        self._command = [sys.executable, "-m", "router", "serve", "--config", str(path), "--port", "0", *arguments]
        self._environ = {**os.environ, **environ}
        self.process: Any = None

    async def start(self) -> None:
        """Until it says where it serves."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdout=asyncio.subprocess.PIPE, stderr=log, env=self._environ, cwd=ROOT
            )
        lines: list[str] = []
        async with asyncio.timeout(30):
            while not lines or "endpoints" not in lines[-1]:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"it did not start: {self.log.read_text()[-2000:]}"
                lines.append(line)
        self.banner = "".join(lines)
        self.url = self.banner.split("base URL")[1].split()[0].removesuffix("/v1")
        self.base_url = f"{self.url}/v1"
        self.port = int(self.url.rsplit(":", 1)[1])

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code after a signal."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(60):
            await self.process.communicate()
        return int(self.process.returncode)

    async def ask(self, *, key: str = KEY, **extra: Any) -> Said:
        return await post(self, ask(**extra), authorization=f"Bearer {key}")  # type: ignore[arg-type]

    async def get(self, path: str, **headers: str) -> Said:
        return await get(self, path, **headers)  # type: ignore[arg-type]

    async def post(self, path: str, body: Any) -> Said:
        return await post(self, body, path=path, **AS_ADMIN)  # type: ignore[arg-type]

    async def readiness(self) -> str:
        return str((await self.get("/readyz")).json["status"])

    async def metric(self, sample: str) -> float:
        """The sum of all samples that begin so."""
        text = (await self.get("/metrics")).body.decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.split("\n") if line.startswith(sample))


@asynccontextmanager
async def replicas(
    count: int,
    offers: list[Offer],
    folder: Path,
    state: Mapping[str, Any],
    *arguments: str,
    key: Mapping[str, Any] | None = None,
    **sections: Any,
) -> AsyncIterator[list[Replica]]:
    """Gateways with one configuration. `key`: the limits of KEY; ADMIN is the administrator."""
    sections.setdefault("auth", {"mode": "keys", "keys": [{"name": "laptop", "key_env": "LAPTOP", **(key or {})}]})
    settings = configuration(offers, state={"path": str(folder / "turnout.db"), **state}, **sections)
    path = folder / "turnout.yaml"
    path.write_text(json.dumps(settings) if settings is None else yaml.safe_dump(settings, sort_keys=False))
    secrets = {"LAPTOP": KEY, "TURNOUT_ADMIN_KEY": ADMIN}
    secrets |= {env_name(offer.slug): offer.box.key or "" for offer in offers}
    made = [Replica(path, secrets, *arguments) for _ in range(count)]
    try:
        await asyncio.gather(*(replica.start() for replica in made))
        yield made
    finally:
        for replica in made:
            if replica.process is not None and replica.process.returncode is None:
                await replica.end(signal.SIGTERM)
    for replica in made:
        said = replica.log.read_text()
        assert CANARY not in said
        assert "Traceback" not in said, said[-3000:]
