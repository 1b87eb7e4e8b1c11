"""What a behaviour is given to work with: the provider it plays, the request, and the answer to spoil."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from providers.sandbox.answer import Answer
from providers.sandbox.provider import Asked, Provider
from providers.sandbox.reply import Reply, Script, script_of

_KEPT_RENDERINGS = 256


class Behaviour(Protocol):
    """How one request is treated. Pure: it describes, the connection performs."""

    def perform(self, stage: Stage) -> Script:
        """What is to happen on the connection."""
        ...


class Bendable(Behaviour, Protocol):
    """A behaviour that is an HTTP answer, so that another can bend it."""

    def reply(self, stage: Stage) -> Reply:
        """The answer, before it is put on the wire."""
        ...


Played = Answer | Behaviour
Inner = Answer | Bendable | None


class Bend:
    """Base of the behaviours that are an HTTP answer."""

    __slots__ = ()

    def reply(self, stage: Stage) -> Reply:
        """The answer, before it is put on the wire."""
        raise NotImplementedError

    def perform(self, stage: Stage) -> Script:
        """What is to happen on the connection."""
        return script_of(self.reply(stage))


class Renderer:
    """A provider whose renderings are kept, so that a repeated question costs no JSON."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.reply = lru_cache(_KEPT_RENDERINGS)(provider.reply)
        self.script = lru_cache(_KEPT_RENDERINGS)(self._script)

    def _script(self, answer: Answer, asked: Asked) -> Script:
        script = script_of(self.reply(answer, asked))
        return Script(tuple(script.writes), script.ending)


@dataclass(frozen=True, slots=True)
class Stage:
    """One request to one provider."""

    renderer: Renderer
    asked: Asked
    answer: Answer
    """What this sandbox answers where a behaviour names no answer of its own."""

    @property
    def provider(self) -> Provider:
        return self.renderer.provider

    def reply(self, inner: Inner) -> Reply:
        """The answer a behaviour bends: its own, another behaviour's, or (None) the sandbox's."""
        if inner is None:
            return self.renderer.reply(self.answer, self.asked)
        if isinstance(inner, Answer):
            return self.renderer.reply(inner, self.asked)
        return inner.reply(self)

    def perform(self, played: Played) -> Script:
        """What is to happen on the connection."""
        if isinstance(played, Answer):
            return self.renderer.script(played, self.asked)
        return played.perform(self)
