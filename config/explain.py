"""Says in plain words what pydantic found, without ever repeating a value."""

from __future__ import annotations

import re
import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.fault import Finding, KeyPath, Names
from config.schema import Settings

_PHRASES = {
    "missing": "is required and missing",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text; a number or date that is meant as text goes in quotes",
    "string_pattern_mismatch": "has characters that are not allowed here",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of keys to values",
    "finite_number": "must be a finite number",
}


def findings(error: ValidationError) -> list[Finding]:
    """One finding for each error, in pydantic's order."""
    return [_finding(details) for details in error.errors(include_url=False)]


def _finding(details: ErrorDetails) -> Finding:
    path: KeyPath = details["loc"]
    if details["type"] == "extra_forbidden":
        *place, name = path
        return Finding(path, f"unknown key{_names_at(tuple(place)).hint(str(name))}", at_key=True)
    return Finding(path, _message(details))


def _message(details: ErrorDetails) -> str:
    if phrase := _PHRASES.get(details["type"]):
        return phrase
    if details["type"] == "literal_error":
        return _choice(details)
    message = details["msg"].removeprefix("Value error, ")
    return re.sub(r"^(?:Input|String|Value) should ", "must ", message)


def _choice(details: ErrorDetails) -> str:
    expected = details["ctx"]["expected"]
    given = details["input"]
    near = Names(re.findall(r"'([^']*)'", expected)).nearest(given) if isinstance(given, str) else None
    return f"must be {expected}" + (f'; did you mean "{near}"?' if near else "")


@cache
def _names(model: type[BaseModel]) -> Names:
    return Names(model.model_fields)


def _names_at(path: KeyPath) -> Names:
    """The keys that may stand at `path`."""
    at: Any = Settings
    for part in path:
        at = _inside(_bare(at), part)
    model = _bare(at)
    return _names(model) if isinstance(model, type) and issubclass(model, BaseModel) else Names(())


def _inside(kind: Any, part: str | int) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields[str(part)].annotation
    return get_args(kind)[-1 if get_origin(kind) is dict else 0]


def _bare(kind: Any) -> Any:
    """Without `Annotated` and `| None`."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return _bare(next(arg for arg in get_args(kind) if arg is not type(None)))
    return kind
