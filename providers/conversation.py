"""Whether a request's messages are but text, as most are: then nobody need look for anything in them."""

from __future__ import annotations

from typing import Literal

import msgspec

from providers.splice import JsonObject

PLAIN_ROLES = frozenset(("system", "user", "assistant"))


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "user", "assistant"]
    content: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(list[_Message]).decode


def is_plain(body: JsonObject) -> bool:
    """Whether each message has a role of PLAIN_ROLES, perhaps a content, and nothing else: no calls, no reasoning.

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
