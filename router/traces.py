"""Whether requests are traced: by OpenTelemetry's own variables, and only where its optional package is installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Protocol

from router.served import Observer

log = logging.getLogger("turnout")


class Traces(Observer, Protocol):
    """An observer with something to send at the end."""

    async def aclose(self) -> None: ...


def from_environment(
    release: str, base_url: Callable[[str], str], environ: Mapping[str, str] = os.environ
) -> Traces | None:
    """Traces of requests, or None where none are asked for, or the extra `otel` is not installed. `base_url`: of a
    provider by its slug.

    Where to and how often is read by OpenTelemetry from the process's own environment.
    """
    if not _wanted(environ):
        return None
    try:
        from router.spans import exporting
    except ImportError as error:
        log.warning("no traces: OTEL_EXPORTER_OTLP_ENDPOINT is set, but %s; install turnout[otel]", error)
        return None
    return exporting(release, base_url)


def _wanted(environ: Mapping[str, str]) -> bool:
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    named = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return bool(named) and not off
