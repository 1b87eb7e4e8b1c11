"""Behaviours that refuse: any status, and the refusals every provider spells its own way."""

from __future__ import annotations

from dataclasses import dataclass, replace

from providers.sandbox.faults import Fault, Refusal
from providers.sandbox.reply import Header, Reply
from providers.sandbox.stage import Bend, Stage

_HTML_502 = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>"
    b"</center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class Status(Bend):
    """Any status. `body` None: the provider's own error object saying `message`."""

    code: int
    body: bytes | None = None
    headers: tuple[Header, ...] = ()
    message: str = "simulated failure"

    def reply(self, stage: Stage) -> Reply:
        body = stage.provider.error_body(self.code, self.message) if self.body is None else self.body
        reply = stage.provider.json_reply(self.code, body)
        own = {name.lower() for name, _ in self.headers}
        kept = tuple(header for header in reply.headers if header[0].lower() not in own)
        return replace(reply, headers=(*kept, *self.headers))


@dataclass(frozen=True, slots=True)
class Refuse(Bend):
    """A refusal in the provider's own words; made by the functions below."""

    refusal: Refusal

    def reply(self, stage: Stage) -> Reply:
        return stage.provider.refuse(self.refusal, stage.asked.model)


def rate_limited(retry_after: float | None = 1) -> Refuse:
    """Too many requests. None: the provider does not say for how long."""
    return Refuse(Refusal(Fault.RATE_LIMITED, retry_after=retry_after))


def overloaded(retry_after: float | None = None) -> Refuse:
    """No capacity just now."""
    return Refuse(Refusal(Fault.OVERLOADED, retry_after=retry_after))


def bad_key() -> Refuse:
    """The key is wrong."""
    return Refuse(Refusal(Fault.BAD_KEY))


def quota() -> Refuse:
    """The account's balance is used up."""
    return Refuse(Refusal(Fault.QUOTA))


def model_retired() -> Refuse:
    """The model is not, or no longer, served."""
    return Refuse(Refusal(Fault.MODEL_RETIRED))


def context_exceeded(limit: int = 262_144) -> Refuse:
    """The prompt is too long for a window of `limit` tokens."""
    return Refuse(Refusal(Fault.CONTEXT_EXCEEDED, limit=limit))


def invalid_request(message: str | None = None) -> Refuse:
    """The request is malformed."""
    return Refuse(Refusal(Fault.INVALID_REQUEST, message))


def content_filter() -> Refuse:
    """The provider's policy refuses the content."""
    return Refuse(Refusal(Fault.CONTENT_FILTER))


def server_error() -> Refuse:
    """The provider broke, in JSON."""
    return Refuse(Refusal(Fault.SERVER_ERROR))


def html_502() -> Status:
    """The page of a proxy before the provider."""
    return Status(502, _HTML_502, (("Content-Type", "text/html"), ("Server", "cloudflare")))
