"""Scenes in which the provider fails, and what both SDKs must make of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.sandbox import (
    Answer,
    Cut,
    Status,
    Tokens,
    bad_key,
    content_filter,
    context_exceeded,
    html_502,
    invalid_request,
    model_retired,
    quota,
    rate_limited,
    server_error,
)
from providers.sandbox.stage import Played
from tests.clients.held import Got
from tests.clients.lab import DIALECTS, Lab, Scene

INTERRUPTED = Answer(
    reasoning="Erst denken … ",
    content="Grüße \u2028 aus der Mitte \U0001f686 " * 4,
    tokens=Tokens(prompt=9),
    fragment=4,
)
SHOWN = 7
"""Events of content that are sent before the connection ends."""
_AFTER = len([delta for delta in INTERRUPTED.deltas() if delta.reasoning is not None]) + SHOWN

CUTS: Mapping[str, Cut] = {
    "fin": Cut(_AFTER, "fin", of=INTERRUPTED),
    "fin-in-event": Cut(_AFTER, "fin", mid_event=True, of=INTERRUPTED),
    "rst": Cut(_AFTER, "rst", of=INTERRUPTED),
    "chunk": Cut(_AFTER, "chunk", of=INTERRUPTED),
    "length": Cut(_AFTER, "length", of=INTERRUPTED),
    "end": Cut(_AFTER, "end", of=INTERRUPTED),
}
CUT_SCENES = [Scene(dialect, name, INTERRUPTED, cut) for dialect in DIALECTS for name, cut in CUTS.items()]


def check_cut(scene: Scene, way: str, got: Got) -> None:
    """A cut answer is an APIError, and what was shown before it is the beginning of the script."""
    error = got.error
    assert error is not None, f"{way}: the SDK took a cut answer for a whole one"
    assert error["api"], error
    if way == "whole":
        assert (error["class"], error["status"]) == ("InternalServerError", 502)
        return
    deltas = [choice["delta"] for chunk in got.chunks for choice in chunk["choices"]]
    shown = "".join(delta.get("content") or "" for delta in deltas)
    assert scene.answer.content.startswith(shown)
    if scene.name == "rst":  # a reset takes with it what was not read yet, so any part may have been shown
        return
    assert len(shown) == SHOWN * scene.answer.fragment
    assert (error["class"], error["status"], error["body"]["code"]) == ("APIError", None, 502)
    assert error["body"]["metadata"]["provider_name"] == scene.provider
    assert scene.provider in error["message"]


@dataclass(frozen=True)
class Expected:
    """What the SDK raises. `retry`: whether it may try again; `calls`: how often the provider is asked by one try."""

    name: str
    status: int
    says: str = ""
    retry: bool = False
    calls: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Class and status for the dialects in which it is another."""


FAULTS: Mapping[str, tuple[Played, Expected]] = {
    "invalid": (
        invalid_request("`temperature` is 3 – „zu heiß“"),
        Expected("BadRequestError", 400, "`temperature` is 3 – „zu heiß“"),
    ),
    "filtered": (
        content_filter(),
        Expected("BadRequestError", 400, elsewhere={"openrouter": ("PermissionDeniedError", 403)}),
    ),
    "too-long": (context_exceeded(8192), Expected("BadRequestError", 400, "8192")),
    "bad-key": (bad_key(), Expected("InternalServerError", 502)),
    "no-money": (quota(), Expected("InternalServerError", 502)),
    "retired": (model_retired(), Expected("NotFoundError", 404)),
    "unprocessable": (Status(422), Expected("UnprocessableEntityError", 422, "simulated failure")),
    "busy": (rate_limited(30), Expected("RateLimitError", 429, retry=True, headers={"retry-after": "30"})),
    "broken": (server_error(), Expected("InternalServerError", 502, retry=True, calls=2)),
    "page": (html_502(), Expected("InternalServerError", 502, retry=True, calls=2)),
}


def fault_scenes(dialect: str, suffix: str = "") -> list[Scene]:
    return [Scene(dialect, name + suffix, Answer(), played) for name, (played, _) in FAULTS.items()]


def expected(scene: Scene) -> Expected:
    return next(one for name, (_, one) in FAULTS.items() if scene.name.startswith(name))


def check_fault(place: Lab, scene: Scene, got: Got) -> None:
    """The right class, status, body and advice; and the provider was asked no oftener than it should be."""
    error, want = got.error, expected(scene)
    assert error is not None
    assert error["api"]
    assert not got.chunks
    assert (error["class"], error["status"]) == want.elsewhere.get(scene.dialect, (want.name, want.status))
    body = error["body"]
    assert body["code"] == error["status"]
    assert str(error["code"]) == str(error["status"])  # openai-python makes a string of it
    assert error["type"] == body["type"] == body["metadata"]["error_type"]
    assert body["metadata"]["provider_name"] == scene.provider
    assert body["message"].startswith(f"{scene.provider}: ")
    assert want.says in error["message"]
    check_nothing_leaked(error)
    headers = error["headers"]
    assert headers["x-generation-id"].startswith("gen-")
    assert headers.get("x-should-retry") == (None if want.retry else "false")
    assert {name: headers.get(name) for name in want.headers} == want.headers
    assert len(place.received(scene)) == want.calls


def check_nothing_leaked(error: dict[str, Any]) -> None:
    """No page, key, account or header of the provider."""
    told = f"{error['message']} {error['body']} {error['headers']}".lower()
    for secret in (
        "<html",
        "cloudflare",
        "sk-canary",
        "org-0f3a",
        "ak-sandbox",
        "msh-",
        "set-cookie",
        "sandbox-cookie",
    ):
        assert secret not in told, secret
    assert not re.search(r"user_(?!id\b)", told)
