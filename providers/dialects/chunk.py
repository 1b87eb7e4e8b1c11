"""The parts of an upstream's chunk: which choice is which, what it reports of usage, and what is handed on as it is."""

from __future__ import annotations

from collections.abc import Mapping

from providers.dialects.render import OURS
from providers.dialects.tools import whole_calls
from providers.edit import changed, members_of
from providers.reasoning import EMPTY_VALUES

_NULL = b"null"
_DIGITS = 6
_OF_CHUNK = OURS | {"choices", "error"}
_OF_CHOICE = frozenset(("index", "delta", "finish_reason", "native_finish_reason", "usage", "error"))


def index_of(choice: Mapping[str, bytes], position: int) -> bytes:
    """A choice's index; its position, where it tells none."""
    index = choice.get("index", b"")
    if index == b"0" or (index.isdigit() and len(index) <= _DIGITS):
        return index
    return b"%d" % position


def usage_in(members: Mapping[str, bytes]) -> bytes | None:
    """The usage that the members of a chunk or of a choice report. Raises ValueError."""
    usage = members.get("usage", _NULL)
    if usage in EMPTY_VALUES and "x_groq" in members and members["x_groq"].startswith(b"{"):
        usage = members_of(members["x_groq"]).get("usage", _NULL)
    return usage if usage.startswith(b"{") and usage != b"{}" else None


def more_of_chunk(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The top-level members that are passed on as they are."""
    if members.keys() <= _OF_CHUNK:
        return {}
    more = {key: value for key, value in members.items() if key not in _OF_CHUNK}
    if more.get("system_fingerprint") == _NULL:
        del more["system_fingerprint"]  # OpenRouter's TypeScript SDK refuses a chunk in which it is null
    return more


def more_of_choice(choice: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members of a choice that are passed on as they are."""
    if choice.keys() <= _OF_CHOICE:
        return {}
    return {key: value for key, value in choice.items() if key not in _OF_CHOICE}


def as_delta(message: bytes) -> bytes:
    """The message of a whole answer, or of one passed off as a chunk."""
    if b'"tool_calls"' not in message:
        return message
    members = members_of(message)
    calls = members.get("tool_calls", _NULL)
    return changed(message, members, {"tool_calls": whole_calls(calls)} if calls.startswith(b"[") else {})
