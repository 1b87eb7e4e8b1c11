"""The messages of a request as the router reads them: decoded once, their text and their other parts told apart."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from operator import attrgetter
from typing import Any

from msgspec import Struct
from msgspec.json import encode

from providers.conversation import PlainMessage

KINDS = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "video_url": "video",
    "input_video": "video",
    "file": "file",
}
"""Modalities by the types of parts."""


INSTRUCTIONS = ("system", "developer")
"""Roles of the messages that come before a conversation."""


class Message(Struct, gc=False):
    """What of a message is looked at, whatever it is."""

    role: Any = None
    content: Any = None
    tool_calls: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    reasoning_details: Any = None


class Opening(Struct, frozen=True, gc=False):
    """What a conversation is known by from its first request to its last."""

    digest: str
    """Of the first message of INSTRUCTIONS and the first other one."""
    goes_on: bool
    """There are more messages: it may have begun before this request."""


def opening(messages: Sequence[Message | PlainMessage]) -> Opening:
    """The opening of messages of which there is one at least, by their roles and contents."""
    at, last = 0, len(messages) - 1
    spelled = _spelled(messages[0])
    while at < last and messages[at].role in INSTRUCTIONS:
        at += 1
    if at and messages[at].role not in INSTRUCTIONS:
        spelled += _spelled(messages[at])
    return Opening(sha1(spelled.encode(), usedforsecurity=False).hexdigest(), at < last)


def _spelled(message: Message | PlainMessage) -> str:
    content = message.content
    text = content if type(content) is str else encode(content).decode()
    return f"{message.role} {len(text)}:{text}"


_CONTENT = attrgetter("content")


def text_of(messages: Sequence[PlainMessage]) -> str | None:
    """Their contents, one a line; None where any is no string."""
    try:
        return "\n".join(map(_CONTENT, messages))
    except TypeError:
        return None


class Reading:
    """What a chat template shows the model of some messages: their text; parts that are none are counted."""

    __slots__ = ("count", "kinds", "media", "texts")

    def __init__(self, messages: Sequence[Message | PlainMessage]) -> None:
        """Never raises: what has an unknown shape is passed by."""
        self.texts: list[str] = []
        """Contents, tool calls, and reasoning once."""
        self.media = 0
        """Parts without text."""
        self.kinds: set[str] = set()
        """Modalities other than text."""
        self.count = len(messages)
        add = self.texts.append
        for message in messages:
            content = message.content
            if type(content) is str:
                add(content)
            elif content is not None:
                self._parts(content)
            if isinstance(message, PlainMessage):
                continue
            if message.tool_calls is not None:
                self._calls(message.tool_calls)
            if message.reasoning is not None or message.reasoning_content is not None or message.reasoning_details:
                self.texts += _reasoning(message)

    def _parts(self, parts: object) -> None:
        for part in parts if isinstance(parts, list) else ():
            text = part
            if isinstance(part, dict):
                text, type_ = part.get("text"), part.get("type")
                if isinstance(type_, str) and type_ in KINDS:
                    self.kinds.add(KINDS[type_])
            if isinstance(text, str):
                self.texts.append(text)
            else:
                self.media += 1

    def _calls(self, calls: object) -> None:
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                said = (function.get("name"), function.get("arguments"))
                self.texts += [value for value in said if isinstance(value, str)]


def _reasoning(message: Message) -> list[str]:
    """It may be there under three names and is read once. Signatures and encrypted data are no text."""
    details = message.reasoning_details
    blocks = [block for block in details if isinstance(block, dict)] if isinstance(details, list) else []
    texts = [block.get("text") or block.get("summary") for block in blocks]
    found = [text for text in texts if isinstance(text, str)]
    for value in (message.reasoning_content, message.reasoning):
        if not found and isinstance(value, str):
            found = [value]
    return found
