"""The event loop that serves: uvloop, with a clock fine enough to tell what of a request was ours."""

from __future__ import annotations

import time

import uvloop


class Loop(uvloop.Loop):
    """uvloop's own clock tells milliseconds, and those of when the current turn began; this is the one it runs by."""

    time = staticmethod(time.monotonic)
