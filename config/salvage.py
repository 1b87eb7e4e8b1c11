"""Makes the sound parts of a faulty file readable, so that the rules across objects can be checked too."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.fault import KeyPath
from config.schema import Settings

_ROUNDS = 6
_PRICE = {"prompt": 0, "completion": 0}
_PROVIDER = {"dialect": "openai", "base_url": "http://stand-in", "auth": "none"}
_ENDPOINT = {"provider": "stand-in", "model": "stand-in", "price": _PRICE}
_MODEL = {"context_length": 1, "endpoints": (_ENDPOINT,)}
_KEY = {"name": "stand-in", "key_env": "STAND_IN"}
_FIELDS: dict[str, object] = {**_PROVIDER, **_ENDPOINT, **_MODEL, **_KEY, **_PRICE}


def salvage(data: object) -> tuple[Settings, frozenset[KeyPath]] | None:
    """The settings with every faulty value left out or replaced, and the places where that was done.

    None where too little is left: providers or models themselves are missing.
    """
    mended: set[KeyPath] = set()
    for _ in range(_ROUNDS):
        try:
            return Settings.model_validate(data), frozenset(mended)
        except ValidationError as error:
            for details in error.errors(include_url=False, include_context=False):
                path = _written(data, details)
                if path in ((), ("providers",), ("models",)):
                    return None
                mended.add(path)
                data = _mend(data, path, path)
    return None


def _written(data: Any, details: ErrorDetails) -> KeyPath:
    """The path of the error as far as there is anything; a missing field counts as there."""
    path: KeyPath = details["loc"]
    if details["type"] == "missing":
        return path
    for position, part in enumerate(path):
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return path[:position]
    return path


def _mend(node: Any, rest: KeyPath, path: KeyPath) -> Any:
    """A copy of `node` in which the value at `rest` is replaced; None stands for "left out"."""
    if not rest:
        return _stand_in(node, path)
    head, *tail = rest
    if isinstance(node, dict):
        value = _mend(node.get(str(head)), tuple(tail), path)
        others = {key: item for key, item in node.items() if key != head}
        return others if value is None else {**others, head: value}
    if isinstance(node, tuple) and isinstance(head, int) and head < len(node):
        value = _mend(node[head], tuple(tail), path)
        # A list keeps its positions, so that later findings point where they should.
        return None if value is None else (*node[:head], value, *node[head + 1 :])
    return None


def _stand_in(node: Any, path: KeyPath) -> Any:
    match path:
        case ("providers", _):
            named = isinstance(node, dict) and isinstance(node.get("name"), str)
            return {**_PROVIDER, "name": node["name"]} if named else _PROVIDER
        case ("models", _):
            return _MODEL
        case ("models", _, "endpoints", int()):
            return _ENDPOINT
        case ("auth", "keys", int()):
            return _KEY
        case (*_, str(field)) if node is None:
            return _FIELDS.get(field)
    return None
