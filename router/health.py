"""What is known of each endpoint's health from our own traffic, and what follows from it by the thresholds.

Facts (`Facts`, `Account`) are kept apart from thresholds (config `health:`), so a reload changes how
they are judged, not what was seen. The breaker: after so many failures in a row an endpoint is
ejected; when its time is over exactly one request, the probe, is let through and decides.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable

from msgspec.structs import replace

from config.schema import Health as Thresholds
from providers.errors import Cancelled, ProviderError, Remedy
from router.catalogue import Endpoint
from router.facts import Account, Facts, Standing, Ticket
from router.judgement import UNSEEN, full, judged, unavailability
from router.outcome import Outcome
from router.speed import Spread
from router.state.values import Note
from router.window import Window

COOL_DOWN_DEFAULT = 1.0
"""Seconds an endpoint is left alone after a 429 that names no time."""
PUT_ASIDE = 60.0
"""Seconds a provider is left alone after it refused our key; then one request tries it again."""
LEASE = 60.0
"""Seconds after which another replica may probe, should the one that does so have died."""
REFUSED = 0.5
"""Seconds until the fleet is asked again where another replica is probing."""


class Health:
    """The health book of this process. Clock: monotonic seconds."""

    def __init__(self, thresholds: Thresholds, clock: Callable[[], float]) -> None:
        self._thresholds = thresholds
        self._clock = clock
        self._facts: dict[tuple[str, str], Facts] = {}
        self._accounts: dict[str, Account] = {}
        self.tell: Callable[[Note], None] = lambda note: None
        """Told of what other replicas should know."""
        self.ask_leave: Callable[[tuple[str, str], float], Awaitable[bool]] | None = None
        """Asks the other replicas whether this one may probe; None: there are none."""
        self.probed: Callable[[tuple[str, str]], None] = lambda key: None
        """Told that a probe is over."""

    @property
    def thresholds(self) -> Thresholds:
        """What facts are judged by. Replace it on a reload: what was seen stays, but for a window of new length."""
        return self._thresholds

    @thresholds.setter
    def thresholds(self, thresholds: Thresholds) -> None:
        resized = thresholds.outage_window != self._thresholds.outage_window
        self._thresholds = thresholds
        for facts in self._facts.values():
            facts.judged_at, facts.clear_until = -1, 0.0
            if resized:
                facts.recent = self._outage_window()

    def _outage_window(self) -> Window:
        return Window(1, max(1, round(self._thresholds.outage_window)))

    def now(self) -> float:
        """Seconds on the clock everything here is dated by."""
        return self._clock()

    def facts(self, endpoint: Endpoint) -> Facts:
        return self._facts_of(endpoint.key)

    def _facts_of(self, key: tuple[str, str]) -> Facts:
        facts = self._facts.get(key)
        if facts is None:
            # A tag is a provider's slug, with or without a variant.
            account = self.account(key[1].partition("/")[0])
            facts = self._facts[key] = Facts(account, recent=self._outage_window())
            account.endpoints.append(facts)
        return facts

    def account(self, slug: str) -> Account:
        account = self._accounts.get(slug)
        if account is None:
            account = self._accounts[slug] = Account()
        return account

    def standings(self, endpoints: Iterable[Endpoint]) -> list[Standing]:
        """How each of them stands now. Changes nothing."""
        known, now = self._facts.get, self._clock()
        return [
            facts.judged
            if (facts := known(endpoint.key)) is not None and facts.clear_until > now
            else self._standing(endpoint, now)
            for endpoint in endpoints
        ]

    def standing(self, endpoint: Endpoint) -> Standing:
        """How an endpoint stands now. Changes nothing."""
        return self._standing(endpoint, self._clock())

    def _standing(self, endpoint: Endpoint, now: float) -> Standing:
        facts = self.facts(endpoint)
        second = int(now)
        if facts.judged_at != second:
            # Windows slide by whole seconds: until the next one, or the next outcome, nothing can change.
            facts.judged, facts.judged_at = judged(facts, self._thresholds, now), second
        unavailable, until = unavailability(endpoint, facts, now)
        if unavailable is not None:
            return replace(facts.judged, unavailable=unavailable, until=until)
        # What is about to be probed, and a provider that may be full at any time, is looked at each time.
        calm = facts.ejected_until is None and facts.account.aside_reason is None and not facts.leave
        if calm and endpoint.provider.max_concurrency is None:
            facts.clear_until = math.inf if facts.judged == UNSEEN else second + 1.0
        return facts.judged

    def must_ask(self, endpoint: Endpoint) -> bool:
        """Whether `leave` is owed before `admit`: an ejected endpoint is probed by one of the fleet."""
        return self.ask_leave is not None and self.facts(endpoint).ejected_until is not None

    async def leave(self, endpoint: Endpoint, *, insist: bool = False) -> bool:
        """Whether an attempt may be made as far as other replicas go. To be asked right before `admit` with the same
        `insist`, which refuses a probe without it."""
        facts = self.facts(endpoint)
        if self.ask_leave is None or facts.ejected_until is None:
            return True
        if self._is_out(endpoint, facts, insist):
            return False
        given = await self.ask_leave(endpoint.key, LEASE)
        facts.leave = given and facts.ejected_until is not None and not self._is_out(endpoint, facts, insist)
        if given and not facts.leave:
            self.probed(endpoint.key)
        elif not given and not insist:
            facts.ejected_until = max(facts.ejected_until or 0.0, self._clock() + REFUSED)
        return given

    def _is_out(self, endpoint: Endpoint, facts: Facts, insist: bool) -> bool:
        """Whether an attempt may not be made, leave aside."""
        if insist:
            return (facts.ejected_until is not None and facts.probing is not None) or full(endpoint, facts.account)
        return unavailability(endpoint, facts, self._clock())[0] is not None

    def admit(self, endpoint: Endpoint, *, insist: bool = False) -> Ticket | None:
        """Leave to try an endpoint now, or None.

        Of all who ask for an ejected endpoint whose time is over, one gets it: the probe. `insist` is for
        the last resort and for a retry of the endpoint that just failed: it overrides all but a probe under
        way, in whichever replica, so a panic is never a herd, and `max_concurrency`, which is the operator's word.
        """
        now, facts = self._clock(), self._facts.get(endpoint.key)
        if facts is None:
            facts = self.facts(endpoint)
        elif facts.clear_until > now:
            facts.account.in_flight += 1
            return Ticket(endpoint, False)
        account, probe = facts.account, facts.ejected_until is not None
        if self._is_out(endpoint, facts, insist) or (probe and self._owes(facts)):
            return None
        facts.leave = False
        if account.aside_reason and account.aside_until <= now:
            account.put_aside(now + PUT_ASIDE)
        account.in_flight += 1
        if not probe:
            return Ticket(endpoint, False)
        facts.probing = Ticket(endpoint, True, self._begun)
        return facts.probing

    def _begun(self, ticket: Ticket) -> None:
        """A probe's stream has content: that decides, however long it goes on. How often the endpoint was ejected is
        forgotten once an attempt has ended well."""
        facts = self.facts(ticket.endpoint)
        if facts.probing is ticket:
            facts.probing = None
            facts.failures, facts.ejected_until = 0, None
            self.probed(ticket.endpoint.key)
            self.tell(Note("alive", ticket.endpoint.key))

    def _owes(self, facts: Facts) -> bool:
        return self.ask_leave is not None and not facts.leave

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """Give a ticket back with what became of it. Exactly once."""
        facts, now, error = self._facts[ticket.endpoint.key], self._clock(), outcome.error
        facts.account.in_flight -= 1
        decides = facts.probing is ticket
        if decides:
            facts.probing = None
            self.probed(ticket.endpoint.key)
        if error is None:
            self._measured(facts, outcome, now)
            if facts.failures or facts.ejections or decides:
                self._alive(ticket, facts, decides)
            if facts.account.aside_until:
                facts.account.aside_until, facts.account.aside_reason = 0.0, None
            facts.succeeded(now)
        elif not isinstance(error, Cancelled):
            if error.counts:
                self._failed(ticket, facts, now, decides)
            else:
                self._alive(ticket, facts, decides)
            self._set_aside(facts, outcome, error, now)

    def _measured(self, facts: Facts, outcome: Outcome, now: float) -> None:
        usage = outcome.usage
        if outcome.first_token is not None:
            (facts.latency if outcome.stream else facts.first_byte).add(now, outcome.first_token)
        if usage is not None and usage.completion and outcome.duration > 0:
            facts.throughput.add(now, usage.completion / outcome.duration)
        if usage is not None and outcome.endpoint.rates.cache_read is not None:
            cached = min(usage.cached, usage.prompt)
            facts.cached += cached
            facts.uncached += usage.prompt - cached
        if outcome.malformed is not None:
            facts.called(now, outcome.malformed)

    def _alive(self, ticket: Ticket, facts: Facts, decides: bool) -> None:
        if decides or facts.ejected_until is None:
            # What was begun before an ejection and ends well in it says nothing of now: the probe decides.
            facts.failures = facts.ejections = 0
            facts.ejected_until = None
            if decides:
                self.tell(Note("alive", ticket.endpoint.key))

    def _failed(self, ticket: Ticket, facts: Facts, now: float, decides: bool) -> None:
        facts.failures += 1
        facts.failed(now)
        rules = self._thresholds
        if decides or (facts.ejected_until is None and facts.failures >= rules.breaker_failures):
            seconds = min(rules.breaker_ejection * 2 ** min(facts.ejections, 30), rules.breaker_ejection_max)
            facts.ejections += 1
            facts.ejected_until = now + seconds
            self.tell(Note("ejected", ticket.endpoint.key, seconds, facts.ejections))

    def _set_aside(self, facts: Facts, outcome: Outcome, error: ProviderError, now: float) -> None:
        if error.remedy is Remedy.COOL_DOWN:
            pause = COOL_DOWN_DEFAULT if error.retry_after is None else error.retry_after
            facts.cool_until, facts.clear_until = max(facts.cool_until, now + pause), 0.0
            self.tell(Note("cooling", outcome.endpoint.key, pause))
        elif error.remedy is Remedy.PUT_ASIDE:
            facts.account.put_aside(max(facts.account.aside_until, now + PUT_ASIDE))
            facts.account.aside_reason = error.message
            self.tell(Note("aside", (outcome.endpoint.provider.slug,), PUT_ASIDE, reason=error.message))

    def untold(self) -> list[Note]:
        """What this process counted since the last call, for other replicas to count too."""
        notes = []
        for key, facts in self._facts.items():
            facts.write_down()
            if facts.untold_good or facts.untold_bad:
                notes.append(Note("counts", key, good=facts.untold_good, bad=facts.untold_bad))
                facts.untold_good = facts.untold_bad = 0
        return notes

    def hear(self, note: Note) -> None:
        """Take over what another replica found out."""
        until = self._clock() + note.seconds
        if note.kind == "aside":
            account = self.account(note.subject[0])
            account.put_aside(max(account.aside_until, until))
            account.aside_reason = note.reason
            return
        facts = self._facts_of((note.subject[0], note.subject[1]))
        facts.clear_until = 0.0
        if note.kind == "ejected":
            facts.ejected_until = max(facts.ejected_until or 0.0, until)
            facts.ejections = max(facts.ejections, note.ejections)
        elif note.kind == "cooling":
            facts.cool_until = max(facts.cool_until, until)
        elif note.kind == "alive":
            facts.failures = facts.ejections = 0
            facts.ejected_until = None
        else:
            facts.count(self._clock(), note.good, note.bad)

    def uptime(self, endpoint: Endpoint, seconds: float) -> float | None:
        """Share of minutes in which at least 80 % of attempts succeeded, of those with 10 or more, in percent.

        OpenRouter's definition of October 2026. None where no minute had enough traffic.
        """
        facts = self._facts.get(endpoint.key)
        if facts is None:
            return None
        facts.write_down()
        busy = [slot for slot in facts.minutes.slots(self._clock(), seconds) if sum(slot) >= 10]
        if not busy:
            return None
        return 100.0 * sum(good >= 0.8 * (good + bad) for good, bad in busy) / len(busy)

    def speed(self, endpoint: Endpoint, seconds: float) -> tuple[Spread | None, Spread | None]:
        """Percentiles of time to first token (seconds) and of throughput (output tokens a second)."""
        facts = self._facts.get(endpoint.key)
        if facts is None:
            return None, None
        now = self._clock()
        return facts.latency.spread(now, seconds), facts.throughput.spread(now, seconds)

    def beginnings(self, endpoint: Endpoint, *, stream: bool) -> Spread | None:
        """Percentiles over five minutes of the seconds an answer, streamed or not, takes to begin."""
        facts = self._facts.get(endpoint.key)
        if facts is None:
            return None
        return (facts.latency if stream else facts.first_byte).spread(self._clock(), 300)

    def ratio(self, endpoint: Endpoint, seconds: float) -> float | None:
        """Plain share of attempts that succeeded, 0 to 1; None without attempts."""
        facts = self._facts.get(endpoint.key)
        if facts is None:
            return None
        facts.write_down()
        slots = facts.minutes.slots(self._clock(), seconds)
        good, bad = sum(slot[0] for slot in slots), sum(slot[1] for slot in slots)
        return good / (good + bad) if good + bad else None

    def in_flight(self) -> int:
        """Attempts under way."""
        return sum(account.in_flight for account in self._accounts.values())
