"""The client's request made into the upstream's, by splicing."""

from __future__ import annotations

from collections.abc import Mapping

from providers.dialects import history, thinking
from providers.dialects.base import Call
from providers.dialects.profile import SAMPLING, Profile
from providers.dialects.thinking import Thinking, Wish
from providers.errors import InvalidRequest
from providers.splice import JsonObject, encode

_WITH_USAGE = b'{"include_usage":true}'
_ANY = Thinking(declared=True)
Changes = dict[str, bytes | None]


def encode_request(call: Call, profile: Profile) -> bytes:
    """The body to send. Raises InvalidRequest where a part that must be read is malformed or contradicts another."""
    body = call.body
    changes: Changes = {"model": encode(call.model)}
    changes.update({name: None for name in profile.drops if name in body})
    if call.supports is not None:
        changes.update({name: None for name in SAMPLING - call.supports if name in body})
    if profile.pins:
        changes.update({name: None for name in profile.pinned(call.model) if name in body})
    changes.update(_renamed(body, profile.renames))
    try:
        asked = thinking.wish(body)
        changes.update(_reasoning(call, profile, asked))
    except InvalidRequest:
        raise
    except ValueError as error:
        raise InvalidRequest(f"reasoning: cannot be read: {error}") from error
    changes.update(_streaming(call, profile, streams(call, profile, asked)))
    messages = body.get("messages")
    if messages is not None and (edited := history.sent(messages, call, profile)) is not messages:
        changes["messages"] = edited
    return body.rewritten(changes)


def _renamed(body: JsonObject, names: Mapping[str, str]) -> Changes:
    """Members under the names this upstream knows them by."""
    changes: Changes = {}
    for name, known_as in names.items():
        value = body.get(name)
        if name in body:
            changes[name] = None
        if value is not None and body.get(known_as) is None:
            changes[known_as] = value
    return changes


def _reasoning(call: Call, profile: Profile, asked: Wish) -> Changes:
    """What the request says of reasoning, in the upstream's words."""
    if "reasoning" not in profile.drops:
        return thinking.spared(call.body, asked) if call.reasoning_mandatory else {}
    rule = rule_for(call.model, profile)
    mandatory = call.reasoning_mandatory
    wished, choice = thinking.made_possible(call.body, asked, rule, mandatory=mandatory)
    if wished == thinking.NO_WISH:
        return choice
    return {**choice, **thinking.told(call.body, wished, rule, call.supports, mandatory=mandatory)}


def rule_for(model: str, profile: Profile) -> Thinking:
    """How this model of a vendor is told of reasoning."""
    fits = (rule for rule in profile.thinking if rule.models is None or rule.models.search(model))
    return next(fits, _ANY)


def streams(call: Call, profile: Profile, asked: Wish) -> bool:
    """Whether the upstream is asked for a stream: also where the client is not, but only a stream is given."""
    if call.stream or profile.streams_only == "always":
        return True
    if profile.streams_only == "never":
        return False
    off = rule_for(call.model, profile).off or {}
    stopped = any(call.body.get(name) == value for name, value in off.items())
    return not stopped and (asked.enabled is not False or call.reasoning_mandatory)


def _streaming(call: Call, profile: Profile, stream: bool) -> Changes:
    changes: Changes = {}
    body = call.body
    if stream is not (body.get("stream") == b"true"):
        changes["stream"] = encode(stream)
    if stream and not profile.counts_unasked:
        changes["stream_options"] = _asking_for_usage(body.get("stream_options"))
    elif "stream_options" in body:
        changes["stream_options"] = None
    return changes


def _asking_for_usage(options: bytes | None) -> bytes:
    if options is None or not options.startswith(b"{"):
        return _WITH_USAGE
    known = JsonObject(options)
    return options if known.get("include_usage") == b"true" else known.rewritten({"include_usage": b"true"})
