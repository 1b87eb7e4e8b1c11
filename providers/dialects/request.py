"""The client's request made into the upstream's, by splicing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from providers.conversation import PLAIN_ROLES, is_plain
from providers.dialects import history, thinking
from providers.dialects.base import Call
from providers.dialects.profile import SAMPLING, Profile
from providers.dialects.thinking import Thinking, Wish
from providers.errors import InvalidRequest
from providers.splice import JsonObject, encode

_WITH_USAGE = b'{"include_usage":true}'
_ANY = Thinking(declared=True)
_OF_REASONING = frozenset(("reasoning", thinking.EFFORT, "tool_choice"))
"""A request without these says nothing of reasoning, and forces nothing that a vendor refuses beside it."""
Changes = dict[str, bytes | None]


class _Known(NamedTuple):
    """What is known of a request before it comes."""

    model: bytes
    """The upstream's id of the model, as JSON."""
    drops: frozenset[str]
    """Members that are not sent."""
    rule: Thinking
    passes_plain: bool
    """It has no other names for the usual roles."""


@lru_cache(maxsize=4096)
def _known(profile: Profile, model: str, supports: frozenset[str] | None) -> _Known:
    unsupported = frozenset() if supports is None else SAMPLING - supports
    return _Known(
        encode(model),
        profile.drops | unsupported | profile.pinned(model),
        _rule_for(model, profile),
        PLAIN_ROLES.isdisjoint(profile.roles),
    )


def encode_request(call: Call, profile: Profile) -> bytes:
    """The body to send. Raises InvalidRequest where a part that must be read is malformed or contradicts another."""
    body = call.body
    known = _known(profile, call.model, call.supports)
    changes: Changes = {"model": known.model}
    if not known.drops.isdisjoint(body.values):
        changes.update(dict.fromkeys(known.drops & body.values.keys()))
    if profile.renames:
        changes.update(_renamed(body, profile.renames))
    asked = thinking.NO_WISH
    if not _OF_REASONING.isdisjoint(body.values):
        asked, told = _reasoning(call, profile, known.rule)
        changes.update(told)
    _say_streaming(changes, call, profile, _streams(call, profile, known.rule, asked))
    if not known.passes_plain or not is_plain(body):
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


def _reasoning(call: Call, profile: Profile, rule: Thinking) -> tuple[Wish, Changes]:
    """What the request says of reasoning, and the changes that say it in the upstream's words."""
    try:
        asked = thinking.wish(call.body)
        return asked, _retold(call, profile, rule, asked)
    except InvalidRequest:
        raise
    except ValueError as error:
        raise InvalidRequest(f"reasoning: cannot be read: {error}") from error


def _retold(call: Call, profile: Profile, rule: Thinking, asked: Wish) -> Changes:
    if "reasoning" not in profile.drops:
        return thinking.spared(call.body, asked) if call.reasoning_mandatory else {}
    mandatory = call.reasoning_mandatory
    wished, choice = thinking.made_possible(call.body, asked, rule, mandatory=mandatory)
    if wished == thinking.NO_WISH:
        return choice
    return {**choice, **thinking.told(call.body, wished, rule, call.supports, mandatory=mandatory)}


def _rule_for(model: str, profile: Profile) -> Thinking:
    """How this model of a vendor is told of reasoning."""
    fits = (rule for rule in profile.thinking if rule.models is None or rule.models.search(model))
    return next(fits, _ANY)


def _streams(call: Call, profile: Profile, rule: Thinking, asked: Wish) -> bool:
    """Whether the upstream is asked for a stream: also where the client is not, but only a stream is given."""
    if call.stream or profile.streams_only == "always":
        return True
    if profile.streams_only == "never":
        return False
    stopped = any(call.body.get(name) == value for name, value in (rule.off or {}).items())
    return not stopped and (asked.enabled is not False or call.reasoning_mandatory)


def _say_streaming(changes: Changes, call: Call, profile: Profile, stream: bool) -> None:
    body = call.body
    if stream is not (body.values.get("stream") == b"true"):
        changes["stream"] = encode(stream)
    if stream and not profile.counts_unasked:
        changes["stream_options"] = _asking_for_usage(body.get("stream_options"))
    elif "stream_options" in body:
        changes["stream_options"] = None


def _asking_for_usage(options: bytes | None) -> bytes:
    if options is None or not options.startswith(b"{"):
        return _WITH_USAGE
    known = JsonObject(options)
    return options if known.get("include_usage") == b"true" else known.rewritten({"include_usage": b"true"})
