"""Golden files: what each dialect makes of a request, an answer, a stream and an error, byte for byte.

A file in `tests/golden/<dialect>/` is `<kind>_<case>.txt`, of kind request, whole, stream or error:

    # what it shows
    option: value                (see `_options`)
    --- in
    what goes in
    --- out                      (also: end, error)
    what comes out

`<envelope>` stands for the envelope's members. A file's last newline, and one before each `---`, are not part of
a section. Set UPDATE_GOLDEN=1 to write what comes out now, then read the diff.
"""

from __future__ import annotations

import itertools
import os
from decimal import Decimal
from pathlib import Path

import pytest

from providers.dialects import REGISTRY
from providers.dialects.base import Call, Dialect, Envelope, Extract, Tail
from providers.errors import ProviderError
from providers.splice import JsonObject

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = sorted(GOLDEN.glob("*/*.txt"))
ENVELOPE = (
    b'"id":"gen-1","object":"chat.completion.chunk","created":1762300800,'
    b'"model":"author/model","provider":"Some Provider",'
)
EXTRACTS: tuple[Extract, ...] = ("think", "kimi_markers")
DIALECTS = ("moonshot", "cometapi", "openrouter", "openai")
Sections = dict[str, str]


@pytest.fixture(autouse=True)
def made_up_ids_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count(1)
    monkeypatch.setattr("providers.dialects.tools.new_id", lambda: b'"call_made_up_%d"' % next(numbers))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path) -> None:
    head, sections = read(path)
    kind = path.stem.partition("_")[0]
    made = MAKERS[kind](REGISTRY[path.parent.name], options(head), sections["in"])
    if os.environ.get("UPDATE_GOLDEN"):
        write(path, head, {"in": sections["in"], **made})
    else:
        assert {"in": sections["in"], **made} == sections


def test_every_dialect_has_golden_files_of_every_kind_and_every_profile_one_of_a_request() -> None:
    found = {(path.parent.name, path.stem.partition("_")[0]) for path in FILES}
    assert found >= {(name, kind) for name in DIALECTS for kind in MAKERS}
    assert found >= {(name, "request") for name in REGISTRY}


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.stem.startswith("stream_")],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_a_stream_reads_the_same_however_it_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.dialects.tools.new_id", lambda: b'"call_made_up"')
    head, sections = read(path)
    chosen = options(head)
    data = wire(sections["in"], chosen)
    dialect = REGISTRY[path.parent.name]
    at_once = stream(dialect, chosen, [data])
    assert stream(dialect, chosen, [data[i : i + 1] for i in range(len(data))]) == at_once
    for cut in range(1, len(data)):
        assert stream(dialect, chosen, [data[:cut], data[cut:]]) == at_once, f"cut at {cut}"


def read(path: Path) -> tuple[str, Sections]:
    head, *parts = path.read_text().split("\n--- ")
    sections = {}
    for part in parts:
        name, _, text = part.partition("\n")
        sections[name] = text.removesuffix("\n") if part is parts[-1] else text
    return head, sections


def write(path: Path, head: str, sections: Sections) -> None:
    path.write_text(head + "".join(f"\n--- {name}\n{text}" for name, text in sections.items()) + "\n")


def options(head: str) -> dict[str, str]:
    lines = [line for line in head.split("\n") if line and not line.startswith("#")]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def wire(text: str, chosen: dict[str, str]) -> bytes:
    """A stream's bytes. `lines: crlf | cr`, `start: bom`, `end: cut` (no blank line at the end)."""
    data = text.encode() if chosen.get("end") == "cut" else text.encode() + b"\n"
    newline = {"crlf": b"\r\n", "cr": b"\r"}.get(chosen.get("lines", ""), b"\n")
    start = b"\xef\xbb\xbf" if chosen.get("start") == "bom" else b""
    return start + data.replace(b"\n", newline)


def envelope(chosen: dict[str, str]) -> Envelope:
    return Envelope(
        id="gen-1",
        model="author/model",
        provider="Some Provider",
        created=1762300800,
        exclude_reasoning=chosen.get("reasoning") == "excluded",
        usage_chunk=chosen.get("usage") == "chunk",
        extract=frozenset(extract for extract in EXTRACTS if extract in chosen.get("extract", "").split()),
    )


def tail(chosen: dict[str, str]) -> Tail:
    metadata = chosen.get("metadata")
    return Tail(
        cost=Decimal(chosen["cost"]) if "cost" in chosen else None,
        metadata=None if metadata is None else metadata.encode(),
    )


def request(dialect: Dialect, chosen: dict[str, str], text: str) -> Sections:
    supports = chosen.get("supports")
    call = Call(
        body=JsonObject(text.encode()),
        model=chosen.get("model", "upstream-model"),
        stream=chosen.get("stream") == "true",
        supports=None if supports is None else frozenset(supports.split()),
        reasoning_mandatory=chosen.get("reasoning") == "mandatory",
    )
    return {"out": dialect.encode(call).decode()}


def whole(dialect: Dialect, chosen: dict[str, str], text: str) -> Sections:
    try:
        answer = dialect.whole(text.encode(), envelope(chosen))
    except ProviderError as error:
        return {"error": described(error)}
    usage = "" if answer.usage is None else f" {answer.usage.prompt} + {answer.usage.completion} tokens"
    return {
        "out": answer.render(tail(chosen)).decode(),
        "end": f"{answer.finish_reason}, {answer.produced} bytes{usage}",
    }


def streamed(dialect: Dialect, chosen: dict[str, str], text: str) -> Sections:
    return stream(dialect, chosen, [wire(text, chosen)])


def stream(dialect: Dialect, chosen: dict[str, str], pieces: list[bytes]) -> Sections:
    reader = dialect.stream(envelope(chosen))
    out = b"".join([reader.feed(piece) for piece in pieces]) + reader.eof()
    sections = {"out": out.replace(ENVELOPE, b"<envelope>").decode()}
    if reader.error is not None:
        return {**sections, "error": described(reader.error)}
    return {**sections, "end": reader.finish(tail(chosen)).replace(ENVELOPE, b"<envelope>").decode()}


def error(dialect: Dialect, chosen: dict[str, str], text: str) -> Sections:
    """The input is an HTTP answer: status, headers, a blank line, the body."""
    head, _, body = text.partition("\n\n")
    status, *lines = head.split("\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {"error": described(dialect.classify(int(status), headers, body.encode()))}


def described(error: ProviderError) -> str:
    facts = {"wait": error.retry_after, "room": error.context_limit}
    known = [f"{name}: {value}" for name, value in facts.items() if value is not None]
    return "\n".join([type(error).__name__, error.message, *known])


MAKERS = {"request": request, "whole": whole, "stream": streamed, "error": error}
