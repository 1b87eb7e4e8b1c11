"""OpenTelemetry: a span a request, a child an attempt, and nothing at all where it is not wanted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from providers.sandbox import overloaded
from router import traces
from router.spans import Spans
from tests.e2e.conftest import bench as bench
from tests.e2e.harness import Bench, Offer
from tests.e2e.talk import complete

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.fixture
def kept() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.shutdown()


async def traced(bench: Bench, kept: InMemorySpanExporter, **request: Any) -> tuple[Any, list[ReadableSpan]]:
    """What was said by a gateway whose first endpoint fails, and the spans: the request's, then the attempts'."""
    first, second = await bench.box(), await bench.box("openrouter")
    first.always(overloaded())
    running = await bench.gateway([Offer(first, "first", "0.1"), Offer(second, "second", "9")])
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    running.gateway.observers.append(Spans(provider, running.gateway._base_url))
    said = await complete(running, **request)
    await running.gateway.writer.flush()
    spans = sorted(kept.get_finished_spans(), key=lambda one: (one.kind is not SpanKind.SERVER, one.start_time))
    return said, spans


async def test_a_request_is_a_span_with_a_child_for_each_attempt(bench: Bench, kept: InMemorySpanExporter) -> None:
    said, (request, failed, answered) = await traced(bench, kept)
    assert request.kind is SpanKind.SERVER
    assert request.parent is None
    assert request.name.startswith("chat ")
    assert request.attributes is not None
    assert request.attributes["gen_ai.response.id"] == said.headers["x-generation-id"]
    assert request.attributes["gen_ai.provider.name"] == "second"
    assert request.attributes["turnout.attempts"] == 2
    for child in (failed, answered):
        assert child.kind is SpanKind.CLIENT
        assert child.parent is not None
        assert child.parent.span_id == request.context.span_id
        assert request.start_time <= child.start_time <= child.end_time <= request.end_time + 1_000_000
    assert failed.end_time <= answered.start_time + 1_000_000
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "overloaded"
    assert failed.status.status_code is StatusCode.ERROR
    assert answered.status.status_code is StatusCode.UNSET
    assert answered.attributes is not None
    for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "server.port"):
        assert isinstance(answered.attributes[name], int), name
    assert answered.attributes["server.address"] == "127.0.0.1"


async def test_the_clients_span_is_the_parent(bench: Bench, kept: InMemorySpanExporter) -> None:
    _, (request, *_) = await traced(bench, kept, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert f"{request.context.trace_id:032x}" == TRACE
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == PARENT


@pytest.mark.parametrize("header", ["", "00-zz", f"00-{'0' * 32}-{PARENT}-01", "\u00fc" * 500])
async def test_a_broken_traceparent_is_no_parent(bench: Bench, kept: InMemorySpanExporter, header: str) -> None:
    headers = {"traceparent": header.encode("latin-1").decode("latin-1")}
    _, (request, *_) = await traced(bench, kept, headers=headers)
    assert request.parent is None


async def test_nothing_that_was_said_is_in_a_span(bench: Bench, kept: InMemorySpanExporter) -> None:
    said, spans = await traced(bench, kept, messages=[{"role": "user", "content": "a secret recipe"}])
    told = "".join(span.to_json() for span in spans)
    assert "secret recipe" not in told
    assert said.content not in told


@pytest.mark.parametrize(
    "environ", [{}, {**HERE, "OTEL_SDK_DISABLED": "true"}, {**HERE, "OTEL_TRACES_EXPORTER": "none"}]
)
def test_without_an_endpoint_or_switched_off_nothing_is_traced(environ: dict[str, str]) -> None:
    assert traces.from_environment("1", str, environ) is None


def test_without_the_package_the_gateway_says_so_and_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry" or name == "router.spans"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert traces.from_environment("1", str, HERE) is None
    assert "turnout[otel]" in caplog.text


def test_nothing_of_it_is_imported_while_it_is_off() -> None:
    program = "import sys, router.app; assert not [one for one in sys.modules if one.startswith('opentelemetry')]"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


async def test_with_a_collector_that_is_not_there_it_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", HERE["OTEL_EXPORTER_OTLP_ENDPOINT"])
    made = traces.from_environment("1", str)
    assert made is not None
    await made.aclose()
