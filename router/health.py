"""What is known of each endpoint's health from our own traffic, and what follows from it by the thresholds.

Facts (`Facts`, `Account`) are kept apart from thresholds (config `health:`), so a reload changes how
they are judged, not what was seen. The breaker: after so many failures in a row an endpoint is
ejected; when its time is over exactly one request, the probe, is let through and decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from config.schema import Health as Thresholds
from providers.errors import Cancelled, Remedy
from router.catalogue import Endpoint
from router.facts import Account, Facts, Standing, Ticket, Tier
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
            facts.judged_at = -1
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
            facts = self._facts[key] = Facts(recent=self._outage_window())
        return facts

    def account(self, slug: str) -> Account:
        account = self._accounts.get(slug)
        if account is None:
            account = self._accounts[slug] = Account()
        return account

    def standing(self, endpoint: Endpoint) -> Standing:
        """How an endpoint stands now. Changes nothing."""
        facts = self._facts.get(endpoint.key)
        account = self._accounts.get(endpoint.provider.slug)
        if facts is None and account is None:
            return _FINE
        now = self._clock()
        facts = facts or _UNSEEN
        second = int(now)
        if facts.judged_at != second:
            # Windows slide by whole seconds: until the next one, or the next outcome, nothing can change.
            facts.judged, facts.judged_at = self._judged(facts, now), second
        unavailable, until = self._unavailable(endpoint, facts, account or _NO_ACCOUNT, now)
        return facts.judged._replace(unavailable=unavailable, until=until) if unavailable else facts.judged

    def _unavailable(self, endpoint: Endpoint, facts: Facts, account: Account, now: float) -> tuple[str | None, float]:
        if account.aside_until > now:
            return "provider_put_aside", account.aside_until
        if facts.ejected_until is not None and (facts.ejected_until > now or facts.probing):
            return "ejected", facts.ejected_until
        if facts.cool_until > now:
            return "cooling", facts.cool_until
        return ("max_concurrency", now) if _full(endpoint, account) else (None, 0.0)

    def _judged(self, facts: Facts, now: float) -> Standing:
        rules = self.thresholds
        recent, lately = facts.recent, facts.lately
        recent.advance(now)
        seen, failed = recent.good + recent.bad, recent.bad
        outage = seen >= rules.outage_min and failed >= rules.outage_error_rate * seen
        lately.advance(now)
        bad = lately.bad
        total = lately.good + bad
        tier = Tier.NORMAL
        if total >= rules.uptime_min_requests:
            uptime = lately.good / total
            if uptime < rules.down_below:
                tier = Tier.DOWN
            elif uptime < rules.degraded_below:
                tier = Tier.DEGRADED
        # A failure or two of an endpoint hardly used must not price it out: at least ten are assumed.
        return Standing(
            outage=outage,
            tier=tier,
            error_rate=bad / max(total, 10),
            latency=facts.latency.spread(now, 300),
            throughput=facts.throughput.spread(now, 300),
        )

    async def leave(self, endpoint: Endpoint) -> bool:
        """Whether an attempt may be made as far as other replicas go: one of the fleet probes an ejected endpoint.
        To be asked right before `admit`, which refuses a probe without it."""
        facts = self._facts.get(endpoint.key)
        if self.ask_leave is None or facts is None or facts.ejected_until is None:
            return True
        if self.standing(endpoint).unavailable:
            return False
        given = await self.ask_leave(endpoint.key, LEASE)
        facts.leave = given and facts.ejected_until is not None and not self.standing(endpoint).unavailable
        if given and not facts.leave:
            self.probed(endpoint.key)
        elif not given:
            facts.ejected_until = max(facts.ejected_until or 0.0, self._clock() + REFUSED)
        return given

    def admit(self, endpoint: Endpoint, *, insist: bool = False) -> Ticket | None:
        """Leave to try an endpoint now, or None.

        Of all who ask for an ejected endpoint whose time is over, one gets it: the probe. `insist` is for
        the last resort and for a retry of the endpoint that just failed: it overrides all but a probe under
        way, so a panic is never a herd, and `max_concurrency`, which is the operator's word.
        """
        facts, account = self.facts(endpoint), self.account(endpoint.provider.slug)
        now = self._clock()
        probe = facts.ejected_until is not None
        if not insist and (self._unavailable(endpoint, facts, account, now)[0] or (probe and self._owes(facts))):
            return None
        if (probe and facts.probing) or _full(endpoint, account):
            return None
        facts.probing = facts.probing or probe
        facts.leave = False
        if account.aside_reason and account.aside_until <= now:
            account.aside_until = now + PUT_ASIDE
        account.in_flight += 1
        return Ticket(endpoint, probe)

    def _owes(self, facts: Facts) -> bool:
        return self.ask_leave is not None and not facts.leave

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """Give a ticket back with what became of it. Exactly once."""
        endpoint = ticket.endpoint
        facts, account = self.facts(endpoint), self.account(endpoint.provider.slug)
        account.in_flight -= 1
        if ticket.probe:
            facts.probing = False
            self.probed(endpoint.key)
        now = self._clock()
        error = outcome.error
        if isinstance(error, Cancelled):
            return
        if error is None:
            self._timed(facts, outcome, now)
        if error is None or not error.counts:
            self._alive(ticket, facts, account, now, counted=error is None)
        else:
            self._failed(ticket, facts, now)
        if error is not None:
            self._set_aside(facts, account, outcome, now)

    def _alive(self, ticket: Ticket, facts: Facts, account: Account, now: float, *, counted: bool) -> None:
        if ticket.probe or facts.ejected_until is None:
            # What was begun before an ejection and ends well in it says nothing of now: the probe decides.
            facts.failures = 0
            facts.ejections = 0
            facts.ejected_until = None
            if ticket.probe:
                self.tell(Note("alive", ticket.endpoint.key))
        if counted:
            account.aside_until, account.aside_reason = 0.0, None
            facts.count_own(now, True)

    def _timed(self, facts: Facts, outcome: Outcome, now: float) -> None:
        if outcome.first_token is not None:
            (facts.latency if outcome.stream else facts.first_byte).add(now, outcome.first_token)
        if outcome.usage is not None and outcome.usage.completion and outcome.duration > 0:
            facts.throughput.add(now, outcome.usage.completion / outcome.duration)

    def _failed(self, ticket: Ticket, facts: Facts, now: float) -> None:
        facts.failures += 1
        facts.count_own(now, False)
        rules = self.thresholds
        if ticket.probe or (facts.ejected_until is None and facts.failures >= rules.breaker_failures):
            seconds = min(rules.breaker_ejection * 2 ** min(facts.ejections, 30), rules.breaker_ejection_max)
            facts.ejections += 1
            facts.ejected_until = now + seconds
            self.tell(Note("ejected", ticket.endpoint.key, seconds, facts.ejections))

    def _set_aside(self, facts: Facts, account: Account, outcome: Outcome, now: float) -> None:
        error = outcome.error
        assert error is not None
        if error.remedy is Remedy.COOL_DOWN:
            pause = COOL_DOWN_DEFAULT if error.retry_after is None else error.retry_after
            facts.cool_until = max(facts.cool_until, now + pause)
            self.tell(Note("cooling", outcome.endpoint.key, pause))
        elif error.remedy is Remedy.PUT_ASIDE:
            account.aside_until = max(account.aside_until, now + PUT_ASIDE)
            account.aside_reason = error.message
            self.tell(Note("aside", (outcome.endpoint.provider.slug,), PUT_ASIDE, reason=error.message))

    def untold(self) -> list[Note]:
        """What this process counted since the last call, for other replicas to count too."""
        notes = []
        for key, facts in self._facts.items():
            if facts.untold != (0, 0):
                notes.append(Note("counts", key, good=facts.untold[0], bad=facts.untold[1]))
                facts.untold = (0, 0)
        return notes

    def hear(self, note: Note) -> None:
        """Take over what another replica found out."""
        until = self._clock() + note.seconds
        if note.kind == "aside":
            account = self.account(note.subject[0])
            account.aside_until = max(account.aside_until, until)
            account.aside_reason = note.reason
            return
        facts = self._facts_of((note.subject[0], note.subject[1]))
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
        slots = facts.minutes.slots(self._clock(), seconds) if facts else []
        good, bad = sum(slot[0] for slot in slots), sum(slot[1] for slot in slots)
        return good / (good + bad) if good + bad else None

    def in_flight(self) -> int:
        """Attempts under way."""
        return sum(account.in_flight for account in self._accounts.values())


def _full(endpoint: Endpoint, account: Account) -> bool:
    most = endpoint.provider.max_concurrency
    return most is not None and account.in_flight >= most


_FINE = Standing()
_UNSEEN = Facts()
_NO_ACCOUNT = Account()
