"""Requests as OpenTelemetry spans, by the GenAI conventions: the only home of opentelemetry, which is optional."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from router.outcome import Outcome
from router.served import Served

_NANOSECONDS = 1_000_000_000
_PORTS = {"https": 443, "http": 80}
_PROPAGATOR = TraceContextTextMapPropagator()

Attributes = Mapping[str, AttributeValue | None]


class Spans:
    """A span a request, a child an attempt; never what was said. An observer.

    They are made when the request is over, from its times: nothing happens while it is served.
    """

    def __init__(self, provider: TracerProvider, base_url: Callable[[str], str]) -> None:
        """`base_url`: of a provider by its slug, "" where it is gone."""
        self._provider = provider
        self._base_url = base_url
        self._tracer = provider.get_tracer("turnout")

    def served(self, served: Served) -> None:
        ended = time.time_ns()
        arrived = ended - round(served.duration * _NANOSECONDS)
        request = served.request
        headers = {name: request.header(name.encode()) or "" for name in ("traceparent", "tracestate")}
        span = self._tracer.start_span(
            _name(served.decision.plan.models[0]),
            _PROPAGATOR.extract(headers),
            SpanKind.SERVER,
            _known(_of_request(served)),
            start_time=arrived,
        )
        for outcome in served.attempts:
            began = arrived + round((outcome.started - request.received) * _NANOSECONDS)
            child = self._tracer.start_span(
                _name(outcome.endpoint.upstream_model),
                set_span_in_context(span),
                SpanKind.CLIENT,
                _known(_of_attempt(outcome, self._base_url(outcome.endpoint.provider.slug))),
                start_time=began,
            )
            if outcome.error is not None and not outcome.beaten:
                child.set_status(Status(StatusCode.ERROR, outcome.label))
            child.end(began + round(outcome.duration * _NANOSECONDS))
        if served.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    async def aclose(self) -> None:
        """Send what is waiting, for as long as the exporter's own timeout allows."""
        await asyncio.to_thread(self._provider.shutdown)


def exporting(release: str, base_url: Callable[[str], str]) -> Spans:
    """Spans that a thread of the SDK sends where the standard OTEL_ variables say."""
    resource = Resource.create({"service.name": "turnout", "service.version": release})
    # The environment's word on what this service is called outranks ours.
    provider = TracerProvider(resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider, base_url)


def _name(model: str) -> str:
    return f"chat {model[:200]}"


def _known(attributes: Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _of_request(served: Served) -> Attributes:
    ask, endpoint, attempts = served.decision.ask, served.endpoint, served.attempts
    used = [outcome.usage for outcome in attempts if outcome.usage is not None]
    finish = attempts[-1].finish_reason if attempts else None
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": endpoint.provider.slug if endpoint else None,
        "gen_ai.request.model": ask.models[0][:200],
        "gen_ai.request.max_tokens": ask.max_tokens,
        "gen_ai.conversation.id": ask.session,
        "gen_ai.response.id": served.request.generation,
        "gen_ai.response.model": endpoint.model_id if endpoint else None,
        "gen_ai.response.finish_reasons": [finish] if finish else None,
        "gen_ai.usage.input_tokens": sum(usage.prompt for usage in used) if used else None,
        "gen_ai.usage.output_tokens": sum(usage.completion for usage in used) if used else None,
        "http.response.status_code": served.status,
        "error.type": str(served.status) if served.status >= 400 else None,
        "turnout.attempts": len(attempts),
        "turnout.cost_usd": float(served.cost),
        "turnout.overhead": served.overhead,
    }


def _of_attempt(outcome: Outcome, base_url: str) -> Attributes:
    endpoint, usage, error = outcome.endpoint, outcome.usage, outcome.error
    address = urlsplit(base_url)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": endpoint.provider.slug,
        "gen_ai.request.model": endpoint.upstream_model,
        "gen_ai.response.finish_reasons": [outcome.finish_reason] if outcome.finish_reason else None,
        "gen_ai.usage.input_tokens": usage.prompt if usage else None,
        "gen_ai.usage.output_tokens": usage.completion if usage else None,
        "server.address": address.hostname,
        "server.port": address.port or _PORTS.get(address.scheme),
        "http.response.status_code": outcome.upstream_status,
        "error.type": outcome.label if error is not None else None,
        "turnout.endpoint": endpoint.tag,
        "turnout.cost_usd": float(outcome.cost),
        "turnout.first_token": outcome.first_token,
        "turnout.hedged": outcome.hedged,
        "turnout.rescue": outcome.rescue,
    }
