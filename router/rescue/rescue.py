"""One stream's insurance: it listens to what the client is given, and where that breaks finds who carries on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from config.schema import Rescue as Rules
from providers.errors import ContentRefused, Diverged, InvalidRequest, ProviderError, Remedy, TotalTimeout
from router.attempt import BYTES_PER_TOKEN, Attempt
from router.catalogue import Endpoint
from router.decision import Rescued
from router.dispatch import Started, Walk
from router.rescue.transcript import Segment, Transcript
from router.rescue.ways import Way, ways


class Insurance(Protocol):
    """What an answer asks where it breaks."""

    transcript: Transcript
    """Of what the client was given; whoever gives it keeps it."""

    async def carry_on(self, broken: Attempt, error: ProviderError) -> Started | None:
        """An attempt that goes on where `broken` stopped, with the first bytes it has that are new (b"": it has ended
        well without any); None: the client is to be told of the error."""
        ...


def insurance(walk: Walk, rules: Rules) -> Insurance | None:
    """Of a stream, by `rescue:`; None where it has none."""
    on = walk.job.ask.stream and rules.mode != "off" and rules.max_per_request > 0
    return Rescue(walk, rules) if on else None


@dataclass(frozen=True, slots=True)
class _Trial:
    """How one way went. `again`: the same endpoint may be tried another way."""

    started: Started | None
    result: str
    again: bool = False
    final: bool = False
    """Nobody else is to be asked."""


class Rescue:
    """One request's."""

    def __init__(self, walk: Walk, rules: Rules) -> None:
        self._walk = walk
        self._left = rules.max_per_request
        self.transcript = Transcript()

    async def carry_on(self, broken: Attempt, error: ProviderError) -> Started | None:
        """See Insurance."""
        rescues = self._walk.decision.rescues
        if rescues:
            rescues[-1] = replace(rescues[-1], result="broken")
        if self._left == 0 or error.remedy is Remedy.RETURN or isinstance(error, TotalTimeout):
            return None
        self._left -= 1
        said = self._said()
        if said is None:
            rescues.append(Rescued("none", "impossible", broken.endpoint.tag))
            return None
        started, rescued = await self._first_that_can(broken.endpoint, said)
        rescues.append(rescued)
        if started is not None:
            self._walk.decision.selected = started.attempt.endpoint
        return started

    def _said(self) -> Sequence[Segment] | None:
        """What the client has, where it can be said again."""
        many = self._walk.job.ask.body.get("n") not in (None, b"1")
        return None if many else self.transcript.said()

    async def _first_that_can(self, broken: Endpoint, said: Sequence[Segment]) -> tuple[Started | None, Rescued]:
        rescued = Rescued("none", "failed", broken.tag)
        for endpoint in self._candidates(broken):
            for way in self._ways(endpoint, said):
                if rescued.diverged and (way.how == "replay" or endpoint is broken):
                    continue  # another answer will only differ again
                insist = endpoint is broken
                if not await self._walk.left_to_us(endpoint, insist=insist):
                    break
                attempt = self._walk.attempt(endpoint, insist=insist, way=way)
                if attempt is None:
                    break
                trial = await self._take_over(attempt, way)
                rescued = Rescued(way.how, trial.result, broken.tag, endpoint.tag)
                if trial.started is not None or trial.final:
                    return trial.started, rescued
                if not trial.again:
                    break
        return None, rescued

    def _candidates(self, broken: Endpoint) -> Iterator[Endpoint]:
        """The rest of the plan in its order, and last the one that broke."""
        yield from (endpoint for endpoint in self._walk.unfailed() if endpoint is not broken)
        yield broken

    def _ways(self, endpoint: Endpoint, said: Sequence[Segment]) -> Iterator[Way]:
        size = sum(len(segment.text.encode()) for segment in said)
        dialect = self._walk.client(endpoint).dialect
        return ways(self._walk.job.ask.body, said, size // BYTES_PER_TOKEN, dialect, endpoint.prefix)

    async def _take_over(self, attempt: Attempt, way: Way) -> _Trial:
        """Until the attempt has something new, or has ended."""
        try:
            new = await attempt.start() or await attempt.next()
        except Diverged:
            return _Trial(None, "diverged", again=way.how == "continue")
        except InvalidRequest as error:
            return _Trial(None, "refused", again=way.how == "continue", final=isinstance(error, ContentRefused))
        except ProviderError as error:
            return _Trial(None, "failed", final=isinstance(error, TotalTimeout))
        return _Trial(Started(attempt, new), "corrected" if way.corrected else "success")
