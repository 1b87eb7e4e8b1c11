"""A client in a process of its own, that prints one JSON value."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NODE = shutil.which("node")
MODULES = Path(__file__).parent / "node" / "node_modules"
NO_NODE = (
    None
    if NODE is not None and (MODULES / ".package-lock.json").is_file()  # npm writes it last
    else "the JavaScript clients are not installed here: run `make node-clients` (Node 20 or later)"
)
"""Why no client of node's can play here, and what to do."""
PATIENCE = 110
"""Seconds after which a client is taken to hang."""


async def printed(command: Sequence[object], environ: Mapping[str, str] | None = None) -> Any:
    """What it prints, given nothing of the user's environment but PATH. AssertionError where it fails."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **(environ or {})},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command}: {err.decode()[-2000:]}"
    return json.loads(out)
