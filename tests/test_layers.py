"""The import rules of the house, as a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("config", "providers", "router")

MAY_IMPORT = {
    "config": ("config",),
    "providers.sandbox": ("providers.sandbox", "providers.splice"),
    "providers.dialects": ("providers",),
    "providers.transport": ("providers.transport", "providers.errors", "providers.tasks"),
    "providers": ("config", "providers"),
    "router.policy": ("router.policy", "router.catalogue", "router.facts"),
    "router.edge": ("router", "config.schema", "providers.splice", "providers.tasks"),
    "router.cli": ("config", "router", "providers.sandbox", "providers.tasks", "providers.splice"),
    "router.app": ("config", "providers", "router"),
    "router.__main__": ("router.cli",),
    "router": ("config", "providers", "router"),
}
"""The longest entry that fits a module says what of ours it may import. Data flows down; nothing calls upward."""

NEVER = {
    "router": ("router.edge", "router.cli", "router.app", "providers.transport.lean", "providers.transport.httpx"),
    "router.edge": ("router.cli", "router.app", "router.state", "router.policy"),
    "router.policy": ("router.core",),
    "router.__main__": (),
    "providers": ("router", "providers.sandbox"),
    "providers.dialects": (
        "providers.transport",
        "providers.sandbox",
        "providers.client",
        "providers.tasks",
        "router",
    ),
    "providers.sandbox": ("router",),
    "config": ("providers", "router"),
}
"""What a room may not import even where the entry above would allow it."""

HOMES = {
    "httpx": ("providers.transport", "router.cli"),
    "httpx_aiohttp": ("providers.transport",),
    "aiohttp": ("providers.transport",),
    "h2": ("providers.transport",),
    "httptools": ("providers.transport.connection", "router.edge.door", "router.edge.heads", "providers.sandbox"),
    "redis": ("router.state",),
    "tenacity": ("router.retry",),
    "prometheus_client": ("router.metrics",),
    "opentelemetry": ("router.spans",),
    "starlette": ("router.edge",),
    "uvicorn": ("router.edge.door", "router.cli"),
    "yaml": ("config",),
    "jinja2": ("router.dashboard",),
    "click": ("router.cli", "providers.sandbox.__main__"),
    "rich": ("router.cli",),
}
"""One home for each third-party package."""


def modules() -> Iterator[tuple[str, Path]]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def room_of(module: str, rooms: object) -> str:
    return max((room for room in rooms if below(module, room)), key=len)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_only_what_lies_below_it(module: str, path: Path) -> None:
    allowed = MAY_IMPORT[room_of(module, MAY_IMPORT)]
    banned = NEVER.get(room_of(module, NEVER) if any(below(module, room) for room in NEVER) else "", ())
    for name in imports(path):
        if name.split(".")[0] not in OURS or name in OURS:
            continue
        assert any(below(name, room) for room in allowed), f"{module} imports {name}"
        own = room_of(module, MAY_IMPORT)
        if own not in ("router.app", "router.cli"):
            assert not any(below(name, room) for room in banned), f"{module} imports {name}, which lies above it"


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_third_party_package_has_one_home(module: str, path: Path) -> None:
    for name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        if homes is not None:
            assert any(below(module, home) for home in homes), f"{module} imports {name}"


def test_every_module_says_in_its_docstring_what_it_is_for() -> None:
    silent = [module for module, path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_event_streams_are_never_split_by_text_lines() -> None:
    """`aiter_lines` and `splitlines` break JSON at U+2028 and U+0085."""
    for module, path in modules():
        text = path.read_text()
        assert "aiter_lines(" not in text, module
        assert ".splitlines(" not in text, module
