"""Whether a request's messages are but text, as most are: then nobody need look for anything in them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from providers.splice import JsonObject

PLAIN_ROLES = frozenset(("system", "user", "assistant"))


class PlainMessage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message with a role of PLAIN_ROLES, perhaps a content, and nothing else: no calls, no reasoning."""

    role: Literal["system", "user", "assistant"]
    content: Any = None


_decode = msgspec.json.Decoder(list[PlainMessage]).decode


def is_plain(body: JsonObject) -> bool:
    """Whether each message is a PlainMessage.

    One pass in C, where a search for each of their names would be many; remembered with the body.
    """
    if body.plain is None:
        try:
            _decode(body.values.get("messages", b""))
        except (ValueError, RecursionError):
            body.plain = False
        else:
            body.plain = True
    return body.plain
