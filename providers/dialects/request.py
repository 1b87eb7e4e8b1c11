"""The client's request made into the upstream's, by splicing."""

from __future__ import annotations

from providers.dialects.base import Call
from providers.dialects.profile import SAMPLING, Profile
from providers.edit import changed, each_item, members_of
from providers.errors import InvalidRequest
from providers.reasoning import CONTENT, DETAILS, PLAIN, is_text, text_of
from providers.splice import JsonObject, encode, value_of

_EFFORTS = (b'"low"', b'"medium"', b'"high"')
_WITH_USAGE = b'{"include_usage":true}'


def encode_request(call: Call, profile: Profile) -> bytes:
    """The body to send. Raises InvalidRequest where a part that must be read is malformed."""
    body = call.body
    changes: dict[str, bytes | None] = {"model": encode(call.model)}
    changes.update({name: None for name in profile.drops if name in body})
    if call.supports is not None:
        changes.update({name: None for name in SAMPLING - call.supports if name in body})
    changes.update(_streaming(call))
    changes.update(_effort(call, profile))
    messages = body.get("messages")
    if messages is not None and _may_need_change(messages, profile):
        changes["messages"] = _messages(messages, profile)
    return body.rewritten(changes)


def _streaming(call: Call) -> dict[str, bytes | None]:
    changes: dict[str, bytes | None] = {}
    if call.stream is not (call.body.get("stream") == b"true"):
        changes["stream"] = encode(call.stream)
    if call.stream:
        changes["stream_options"] = _asking_for_usage(call.body.get("stream_options"))
    elif "stream_options" in call.body:
        changes["stream_options"] = None
    return changes


def _asking_for_usage(options: bytes | None) -> bytes:
    if options is None or not options.startswith(b"{"):
        return _WITH_USAGE
    known = JsonObject(options)
    return options if known.get("include_usage") == b"true" else known.rewritten({"include_usage": b"true"})


def _effort(call: Call, profile: Profile) -> dict[str, bytes]:
    """OpenRouter's `reasoning.effort`, for an upstream known to take OpenAI's `reasoning_effort`."""
    reasoning = call.body.get("reasoning")
    takes = call.supports is not None and "reasoning_effort" in call.supports
    if reasoning is None or not takes or "reasoning" not in profile.drops:
        return {}
    if call.body.get("reasoning_effort") is not None or not reasoning.startswith(b"{"):
        return {}
    effort = members_of(reasoning).get("effort")
    return {"reasoning_effort": effort} if effort in _EFFORTS and effort is not None else {}


def _may_need_change(messages: bytes, profile: Profile) -> bool:
    """Whether it is worth reading the messages one by one."""
    if profile.reads == "details":
        return False
    return b'"reasoning' in messages or (profile.placeholder is not None and b'"tool_calls"' in messages)


def _messages(messages: bytes, profile: Profile) -> bytes:
    try:
        return each_item(messages, lambda message: _message(message, profile))
    except ValueError as error:
        raise InvalidRequest("messages: must be a list of objects") from error


def _message(message: bytes, profile: Profile) -> bytes:
    if not _may_need_change(message, profile):
        return message
    members = members_of(message)
    if members.get("role") != b'"assistant"':
        return message
    return changed(message, members, _reasoning(members, profile))


def _reasoning(members: dict[str, bytes], profile: Profile) -> dict[str, bytes | None]:
    """The changes after which an assistant message says its reasoning in the one field the upstream reads."""
    changes: dict[str, bytes | None] = {
        field: None for field in (CONTENT, PLAIN, DETAILS) if field in members and field != profile.reads
    }
    own = members.get(profile.reads)
    text = text_of(members)
    if text is None and profile.placeholder is not None and _calls_tools(members):
        # An empty one was accepted by some and refused by others; a blank is accepted by all.
        text = encode(profile.placeholder)
    if text is not None and text != own:
        changes[profile.reads] = text
    elif own is not None and not is_text(own) and not own.startswith(b'"'):
        changes[profile.reads] = None
    return changes


def _calls_tools(members: dict[str, bytes]) -> bool:
    calls = members.get("tool_calls")
    if calls is None or not calls.startswith(b"["):
        return False
    return bool(value_of(calls) if len(calls) < 8 else True)
