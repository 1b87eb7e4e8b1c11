"""Limits decided in this process: figures, reservations and the rolling minute of each key."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from router.state.periods import Figures, resets_at
from router.state.values import Clock, Grant, KeyUsage, Limits, Refusal, to_units, to_usd

MINUTE = 60.0
GONE_KEPT = 10_000
"""Reservations that ran out, remembered so that their request can still be charged."""


@dataclass(slots=True)
class Account:
    """One key. Deadlines and times of admission are on the monotonic clock."""

    figures: Figures = field(default_factory=Figures)
    reserved: int = 0
    leases: dict[str, tuple[int, float]] = field(default_factory=dict)
    gone: dict[str, None] = field(default_factory=dict)
    admitted: deque[float] = field(default_factory=deque)
    pending: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Charges the shared store has not acknowledged: (units, unix time)."""

    def expire(self, now: float) -> None:
        for request in [one for one, (_, deadline) in self.leases.items() if deadline <= now]:
            self.reserved -= self.leases.pop(request)[0]
            self.gone[request] = None
        while len(self.gone) > GONE_KEPT:
            del self.gone[next(iter(self.gone))]

    def end(self, request: str) -> bool:
        """Drop a reservation. False: there was none, so it was settled or never made."""
        lease = self.leases.pop(request, None)
        if lease is None:
            if request not in self.gone:
                return False
            del self.gone[request]
            return True
        self.reserved -= lease[0]
        return True

    def count(self, now: float, rpm: int) -> None:
        """Note an admission; only as many are kept as the limit can look at."""
        self.admitted.append(now)
        while len(self.admitted) > rpm:
            self.admitted.popleft()

    def wait(self, now: float, rpm: int) -> float:
        """Seconds until a request fits into the rolling minute; 0: now."""
        if len(self.admitted) < rpm:
            return 0.0
        return max(0.0, self.admitted[-rpm] + MINUTE - now)


class SpendBook:
    """The accounts of all keys seen by this process."""

    def __init__(self, wall: Clock, monotonic: Clock) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._accounts: dict[str, Account] = {}
        self._sweep_at = 0.0

    def account(self, key: str) -> Account:
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account()
        return account

    def admit(
        self, key: str, limits: Limits, expected: Decimal, request: str, lease: float, share: int = 1
    ) -> Grant | Refusal:
        """As `Spend.admit`. `share`: of how many replicas this one may use its part only."""
        account, now, at = self.account(key), self._monotonic(), self._wall()
        self._expire(account, now)
        rpm = None if limits.rpm is None else max(1, limits.rpm // share)
        if rpm is not None and (wait := account.wait(now, rpm)) > 0:
            return Refusal("rpm", wait)
        units = to_units(expected)
        left = self._left(account, limits, at, share)
        if left is not None and (units > left or left < 0):
            resets = resets_at(limits.reset, at)
            return Refusal("usd", None if resets is None else resets - at, resets, to_usd(max(0, left)))
        self.hold(account, request, units, now + lease, rpm, now)
        return Grant(key, request, at, expected, None if left is None else to_usd(left - units))

    def _left(self, account: Account, limits: Limits, at: float, share: int) -> int | None:
        if limits.usd is None:
            return None
        free = to_units(limits.usd) - account.figures.within(limits.reset, at)
        waiting = Figures()
        waiting.roll(at)
        for units, when in account.pending.values():
            waiting.add(units, when)
        return free // share - waiting.within(limits.reset, at) - account.reserved

    def hold(self, account: Account, request: str, units: int, deadline: float, rpm: int | None, now: float) -> None:
        """Note a reservation and an admission made."""
        if request not in account.leases:
            account.leases[request] = (units, deadline)
            account.reserved += units
        if rpm is not None:
            account.count(now, rpm)

    def _expire(self, account: Account, now: float) -> None:
        # Once a second at most: with many requests under way a look at every one of them is not free.
        if account.leases and (now >= self._sweep_at or len(account.leases) < 100):
            account.expire(now)
            self._sweep_at = now + 1.0

    def settle(self, grant: Grant, cost: Decimal) -> bool:
        """Charge a request once. False: it was charged already."""
        account = self.account(grant.key)
        if not account.end(grant.request):
            return False
        account.figures.add(to_units(cost), grant.at)
        return True

    def usage(self, key: str) -> KeyUsage:
        account, at = self.account(key), self._wall()
        account.expire(self._monotonic())
        figures = account.figures
        figures.roll(at)
        waiting = Figures()
        waiting.roll(at)
        for units, when in account.pending.values():
            waiting.add(units, when)
        return KeyUsage(
            daily=to_usd(figures.daily + waiting.daily),
            weekly=to_usd(figures.weekly + waiting.weekly),
            monthly=to_usd(figures.monthly + waiting.monthly),
            total=to_usd(figures.total + waiting.total),
            reserved=to_usd(account.reserved),
        )

    def load(self, figures: Iterable[tuple[str, Figures]]) -> None:
        """Take over what was spent before this process started."""
        for key, known in figures:
            self.account(key).figures = known
