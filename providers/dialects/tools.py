"""Tool calls made right for the strictest client: one index, id, type and name a call, arguments a string."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from providers.dialects.arguments import MOST_ARGUMENTS, is_malformed, is_object
from providers.edit import as_string, changed, each_item, members_of, text_of
from providers.reasoning import is_text
from providers.splice import raw_items, value_of

_FUNCTION = b'"function"'
_TYPES = (None, b"null", b'""', b'"builtin_function"')
_ABSENT = (None, b"null")
_USUAL = re.compile(rb'\[\{"index":(\d+),"function":\{"arguments":')
_USUAL_END = b"}}]}"

MOST_CALLS = 1_024
"""Of one answer."""


def new_id() -> bytes:
    """An id, as JSON, for a call that came without one."""
    return b'"call_' + secrets.token_hex(12).encode() + b'"'


def whole_calls(calls: bytes) -> bytes:
    """The `tool_calls` of a complete message. Raises ValueError."""
    return each_item(calls, _whole_call)


def _whole_call(call: bytes) -> bytes:
    members = members_of(call)
    changes: dict[str, bytes | None] = {}
    if not is_text(members.get("id")):
        changes["id"] = new_id()
    if members.get("type") in _TYPES:
        changes["type"] = _FUNCTION
    function = members.get("function")
    if function is not None and function.startswith(b"{"):
        inner = members_of(function)
        arguments = inner.get("arguments")
        if arguments in (*_ABSENT, b'""'):
            changes["function"] = changed(function, inner, {"arguments": b'"{}"'})
        elif arguments is not None and not arguments.startswith(b'"'):
            changes["function"] = changed(function, inner, {"arguments": as_string(arguments)})
    return changed(call, members, changes)


class _Call:
    """What was sent of one call so far."""

    __slots__ = ("arguments", "complete", "id", "index", "made_up", "named")

    def __init__(self, index: bytes, id_: bytes | None) -> None:
        self.index = index
        self.made_up = not is_text(id_)
        self.id = new_id() if id_ is None or self.made_up else id_
        self.named = False
        self.arguments: list[bytes] = []
        """JSON strings."""
        self.complete = False
        """It was opened with its arguments whole: another name is another call."""


class CallStream:
    """The tool calls of one choice of a stream."""

    __slots__ = ("_by_id", "_by_index", "_going", "_last", "_size", "_usual", "count", "produced")

    def __init__(self) -> None:
        self._by_index: dict[bytes, _Call] = {}
        self._by_id: dict[bytes, _Call] = {}
        self._last: _Call | None = None
        self._usual = b""
        """How a delta begins that only goes on with the arguments of the call that the last one went on with."""
        self._going: _Call | None = None
        """That call."""
        self._size = 0
        """Bytes of arguments, with their quotes."""
        self.count = 0
        """Calls opened so far."""
        self.produced = 0
        """Bytes of names and arguments so far."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the calls so far, in order."""
        return tuple([text_of(call) for call in self._by_id])

    @property
    def malformed(self) -> bool | None:
        """Whether some call's arguments are no JSON object; None: there are no calls, or too long ones."""
        if not self.count or self._size > MOST_ARGUMENTS:
            return None
        return any([is_malformed(call.arguments) for call in self._by_id.values()])

    def add(self, members: Mapping[str, bytes]) -> None:
        """Arguments that go on with the call that the last delta went on with."""
        if self._going is not None:
            self._keep(self._going, members["arguments"])

    def _keep(self, call: _Call, arguments: bytes) -> None:
        self._size += len(arguments)
        if self._size <= MOST_ARGUMENTS:
            call.arguments.append(arguments)

    def goes_on(self, delta: bytes) -> bool:
        """Whether a delta is like the one that was learned but for its arguments, and so needs no change."""
        parts = self.parts(delta)
        if parts is None:
            return False
        arguments = parts[1]
        try:
            if not arguments.startswith(b'"') or not isinstance(value_of(arguments), str):
                return False
        except ValueError:
            return False
        self.produced += len(arguments) - 2
        self.add({"arguments": arguments})
        return arguments != b'""'

    def parts(self, delta: bytes) -> tuple[bytes, bytes, bytes] | None:
        """What is before, in and after the arguments of a delta like the one that was learned."""
        usual = self._usual
        if not usual or not delta.startswith(usual) or not delta.endswith(_USUAL_END):
            return None
        return usual, delta[len(usual) : -len(_USUAL_END)], _USUAL_END

    def learn(self, calls: bytes) -> None:
        """Remember how the delta began that consists of these calls and needed no change."""
        found = _USUAL.match(calls)
        self._going = self._by_index.get(found[1]) if found is not None else None
        known = self._going is not None and calls.count(b"{") == calls.count(b"}") == 2
        self._usual = b'{"tool_calls":' + found[0] if found is not None and known else b""

    def delta(self, calls: bytes) -> bytes | None:
        """The `tool_calls` of one delta, or None where it says nothing. Raises ValueError."""
        self._usual = b""
        items = [self._item(item, members_of(item)) for item in raw_items(calls)]
        fixed = [item for item in items if item is not None]
        return b"[" + b",".join(fixed) + b"]" if fixed else None

    def _item(self, item: bytes, members: dict[str, bytes]) -> bytes | None:
        function = members.get("function")
        has_function = function is not None and function.startswith(b"{")
        inner = members_of(function) if function is not None and has_function else {}
        call = self._find(members, inner)
        opens = call is None
        if call is None:
            call = self._open(members)
        changes = _opening(call, members) if opens else _continuing(call, members)
        edited = self._function(call, inner, opens) if has_function else {}
        if not opens and not _says_something(members, {**inner, **edited}):
            return None
        if edited and function is not None:
            changes["function"] = changed(function, inner, edited)
        return changed(item, members, changes)

    def _find(self, members: Mapping[str, bytes], inner: Mapping[str, bytes]) -> _Call | None:
        """The call that a delta goes on with; None: it opens one."""
        index, id_, named = members.get("index", b"null"), members.get("id"), is_text(inner.get("name"))
        at_index = self._by_index.get(index)
        if id_ is not None and is_text(id_):
            known = self._by_id.get(id_)
            if known is not None:
                return None if named and index != b"null" and at_index is None else known
            return at_index if at_index is not None and at_index.made_up and not named else None
        call = self._last if index == b"null" else at_index
        if call is None and not named:
            return self._last
        return None if call is not None and call.complete and named else call

    def _open(self, members: Mapping[str, bytes]) -> _Call:
        if self.count >= MOST_CALLS:
            raise ValueError("too many tool calls")
        call = _Call(b"%d" % self.count, members.get("id"))
        self.count += 1
        self._by_id[call.id] = call
        self._last = call
        index = members.get("index")
        if index is not None and index != b"null":
            self._by_index[index] = call
        return call

    def _function(self, call: _Call, inner: Mapping[str, bytes], opens: bool) -> dict[str, bytes | None]:
        changes: dict[str, bytes | None] = {}
        name = inner.get("name")
        if name is not None and (call.named or (not is_text(name) and not opens)):
            changes["name"] = None
        elif is_text(name):
            call.named = True
        arguments = inner.get("arguments")
        if arguments in _ABSENT or arguments is None:
            if opens or arguments is not None:
                changes["arguments"] = arguments = b'""'
        elif not arguments.startswith(b'"'):
            changes["arguments"] = arguments = as_string(arguments)
        if arguments is not None:
            self.produced += len(arguments) - 2
            self._keep(call, arguments)
            call.complete = opens and _is_whole(arguments)
        return changes


def _opening(call: _Call, members: Mapping[str, bytes]) -> dict[str, bytes | None]:
    changes: dict[str, bytes | None] = {}
    if members.get("index") != call.index:
        changes["index"] = call.index
    if members.get("id") != call.id:
        changes["id"] = call.id
    if members.get("type") in _TYPES:
        changes["type"] = _FUNCTION
    return changes


def _continuing(call: _Call, members: Mapping[str, bytes]) -> dict[str, bytes | None]:
    changes: dict[str, bytes | None] = {name: None for name in ("id", "type") if name in members}
    if members.get("index") != call.index:
        changes["index"] = call.index
    return changes


def _says_something(members: Mapping[str, bytes], function: Mapping[str, bytes | None]) -> bool:
    """Whether anything is left of a later delta once id, type and name are taken away."""
    if any(name not in ("index", "id", "type", "function") for name in members):
        return True
    return any(value not in (None, b'""') for value in function.values())


def _is_whole(arguments: bytes) -> bool:
    """Whether the arguments came in one delta."""
    text = text_of(arguments)
    return text.startswith("{") and text.rstrip().endswith("}") and is_object(text)
