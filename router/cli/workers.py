"""Several processes that serve as one: started, watched, replaced, told what we are told, and waited for."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STOP = (signal.SIGTERM, signal.SIGINT)
PASSED_ON = (*STOP, signal.SIGHUP)
HEARD = (*PASSED_ON, signal.SIGCHLD, signal.SIGALRM)
BACK_OFF, BACK_OFF_MOST = 0.1, 5.0
"""Seconds until a worker is replaced; doubled each time one did not last."""
LASTED = 10.0
"""Seconds after which a worker's end says nothing of how it was started."""

_log = logging.getLogger("turnout")


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker is given."""

    serial: int
    """No other worker of this run ever had it."""
    sockets: Sequence[socket.socket]
    ready: int
    """A descriptor: one byte is to be written to it once requests are served."""
    supervisor: int
    """A descriptor that becomes readable when the supervisor is gone."""
    successor: bool
    """Whether it takes the place of one that ended."""


@dataclass(slots=True)
class _Place:
    """Where one worker after the other serves."""

    sockets: Sequence[socket.socket]
    serial: int = 0
    pid: int | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0
    """When a worker is to be started, where there is none."""


class Supervisor:
    """Keeps a worker in every place until told to stop. Its process must have no event loop and no threads."""

    def __init__(
        self,
        places: Sequence[Sequence[socket.socket]],
        work: Callable[[Seat], int],
        buried: Callable[[int], None],
        patience: float,
    ) -> None:
        """`work` is what a worker does, and returns its exit code. `buried`: told the serial of each that ended.
        `patience`: seconds from the signal to stop until workers are killed."""
        self._places = [_Place(sockets) for sockets in places]
        self._work = work
        self._buried = buried
        self._patience = patience
        self._serial = 0
        self._deadline: float | None = None
        """When those that are left are killed; None: not stopping."""
        self._code = 0
        self._alive, self._held = os.pipe()

    def run(self, ready: Callable[[], None]) -> int:
        """Returns the exit code. `ready` is called once every worker serves. SIGTERM and SIGINT end it, SIGHUP is
        passed on."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        # An ignored signal would not be waited for.
        handler = signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            if self._start_all():
                ready()
            while self._running():
                self._turn()
            return self._code
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGCHLD, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _running(self) -> bool:
        return self._deadline is None or any(place.pid is not None for place in self._places)

    def _start_all(self) -> bool:
        """The first alone, so that what is wrong is said once."""
        for some in (self._places[:1], self._places[1:]):
            waiting = [self._start(place, successor=False) for place in some]
            for descriptor in waiting:
                served = os.read(descriptor, 1)
                os.close(descriptor)
                if not served:
                    self._code = 2
                    self._stop(signal.SIGTERM)
                    return False
        return True

    def _start(self, place: _Place, *, successor: bool) -> int:
        """Returns a descriptor that gives one byte once the worker serves, and ends if it does not."""
        self._serial += 1
        place.serial, place.started = self._serial, time.monotonic()
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            self._become(Seat(self._serial, place.sockets, told, self._alive, successor))
        os.close(told)
        place.pid = pid
        return ready

    def _become(self, seat: Seat) -> None:
        """The rest of a worker's life, in its own process."""
        code = 1
        try:
            # A terminal's Ctrl-C is ours to pass on: told twice, a worker would not wait for its requests.
            os.setpgid(0, 0)
            os.close(self._held)
            mine = set(map(id, seat.sockets))
            for sock in (sock for place in self._places for sock in place.sockets):
                if id(sock) not in mine:
                    sock.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, PASSED_ON)
            code = self._work(seat)
        except BaseException:
            traceback.print_exc()
        finally:
            # Not sys.exit: what the supervisor has registered for its own end is not ours to run.
            os._exit(code)

    def _turn(self) -> None:
        """Wait for the next thing to happen, and do what it takes."""
        signal.setitimer(signal.ITIMER_REAL, max(0.01, self._until_due()))
        number = signal.sigwait(HEARD)
        if number in STOP:
            self._stop(number)
        elif number == signal.SIGHUP:
            self._tell(number)
        self._reap()
        now = time.monotonic()
        if self._deadline is None:
            for place in self._places:
                if place.pid is None and place.due <= now:
                    os.close(self._start(place, successor=True))
        elif now >= self._deadline:
            self._code = 1
            self._tell(signal.SIGKILL)

    def _until_due(self) -> float:
        now = time.monotonic()
        if self._deadline is not None:
            return self._deadline - now
        return min((place.due - now for place in self._places if place.pid is None), default=3600.0)

    def _stop(self, number: int) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._patience
            for sock in (sock for place in self._places for sock in place.sockets):
                sock.close()
        self._tell(number)

    def _tell(self, number: int) -> None:
        for place in self._places:
            if place.pid is not None:
                os.kill(place.pid, number)

    def _reap(self) -> None:
        for place in self._places:
            if place.pid is None:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, code: int) -> None:
        pid, place.pid = place.pid, None
        self._buried(place.serial)
        if self._deadline is not None:
            return
        now = time.monotonic()
        place.failures = 0 if now - place.started >= LASTED else place.failures + 1
        wait = min(BACK_OFF * 2 ** min(place.failures, 10), BACK_OFF_MOST)
        place.due = now + wait
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        _log.warning("worker %s (process %s) %s: another takes its place in %.1f s", place.serial, pid, how, wait)
