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
_INDISPENSABLE: frozenset[KeyPath] = frozenset([(), ("providers",), ("models",)])
_FIELDS: dict[str, object] = {**_PROVIDER, **_ENDPOINT, **_MODEL, **_KEY, **_PRICE}


def salvage(data: object) -> tuple[Settings, frozenset[KeyPath]] | None:
    """The settings with every faulty value left out or replaced, and the places where that was done.

    None where too little is left: providers or models themselves are missing.
    """
    data = _copy(data)
    mended: set[KeyPath] = set()
    for _ in range(_ROUNDS):
        try:
            return Settings.model_validate(data), frozenset(mended)
        except ValidationError as error:
            places = {_written(data, details) for details in error.errors(include_url=False, include_context=False)}
        if not places.isdisjoint(_INDISPENSABLE):
            return None
        mended |= places
        for path in places:
            _mend(data, path)
    return None


def _copy(node: Any) -> Any:
    """Lists in place of tuples, so that values can be replaced."""
    if isinstance(node, dict):
        return {key: _copy(value) for key, value in node.items()}
    return [_copy(value) for value in node] if isinstance(node, tuple) else node


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


def _mend(data: Any, path: KeyPath) -> None:
    """Replaces the value at `path`, or leaves it out: then the schema's default holds."""
    *way, last = path
    parents = [data]
    for part in way:
        if isinstance(parents[-1], dict) and part not in parents[-1]:
            return  # left out with a neighbour
        parents.append(parents[-1][part])
    parent = parents[-1]
    value = _stand_in(path, parent.get(last) if isinstance(parent, dict) else parent[last])
    if value is not None:
        parent[last] = _copy(value)
    elif isinstance(parent, dict):
        parent.pop(last, None)
    else:
        # A list keeps its positions, so that later findings point where they should: it goes as a whole.
        parents[-2].pop(way[-1], None)


def _stand_in(path: KeyPath, node: Any) -> Any:
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
