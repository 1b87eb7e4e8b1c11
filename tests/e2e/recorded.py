"""Recorded provider traffic: the files, the other spellings the same bytes may come in, and a reader of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "shared" / "recordings"
MISSING = "no recordings of provider traffic beside this checkout"
Json = dict[str, Any]

_HOP = ("content-length", "transfer-encoding", "content-encoding", "connection", "content-type")
_STYLES = {"openrouter": "openrouter", "vercel-ai-gateway": "openrouter"}


@dataclass(frozen=True)
class Recording:
    """One exchange with a provider."""

    name: str
    dialect: str
    stream: bool
    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    request: Json
    """The body that was asked with."""

    @property
    def message(self) -> bytes:
        """The whole answer, ended by the connection's end."""
        head = [f"HTTP/1.1 {self.status} Recorded", *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*head, "Connection: close", "", ""]).encode() + self.body.encode()


def recordings() -> list[Recording]:
    """All of them; none where the folder is absent."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def _read(path: Path) -> Recording:
    told = json.loads(path.read_text())
    answer = told["response"]
    headers = [(name, value) for name, value in answer["headers"].items() if name.lower() not in _HOP]
    try:
        request = json.loads(told["request"]["body"])
    except (ValueError, TypeError):
        request = {}
    return Recording(
        name=path.name.split("-")[0],
        dialect=_STYLES.get(told["provider"], "openai"),
        stream=told["stream"],
        status=answer["status"],
        headers=(("Content-Type", answer["content_type"]), *((name, str(value)) for name, value in headers)),
        body=answer["body"],
        request=request,
    )


# --- other spellings --------------------------------------------------------------------------------------


def _ascii(body: str) -> str:
    return re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found.group())[1:-1], body)


def _no_done(body: str) -> str:
    return re.sub(r"data: \[DONE\]\s*$", "", body)


STREAM_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "as it was": lambda body: body,
    "crlf": lambda body: body.replace("\r\n", "\n").replace("\n", "\r\n"),
    "cr": lambda body: body.replace("\r\n", "\n").replace("\n", "\r"),
    "no space": lambda body: body.replace("data: ", "data:"),
    "no done": _no_done,
    "no last blank line": lambda body: _no_done(body).rstrip("\r\n"),
    "comments": lambda body: ": hello\n\n" * 3 + re.sub(r"(?m)^data: \{", ": still here\n\ndata: {", body),
    "fields": lambda body: re.sub(r"(?m)^data: \{", "id: 7\nretry: 10\ndata: {", body),
    "several data lines": lambda body: re.sub(r'(?m)^(data: .*?), ?"(choices|delta)"', r'\1,\ndata: "\2"', body),
    "byte order mark": lambda body: "\ufeff" + body,
    "ascii": _ascii,
}
WHOLE_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "as it was": lambda body: body,
    "padded": lambda body: "\n         \n" * 300 + body + "\r\n \n",
    "byte order mark": lambda body: "\ufeff" + body.lstrip(),
    "indented": lambda body: _indented(body),
    "ascii": _ascii,
}


def _indented(body: str) -> str:
    """White space between the tokens; the tokens as they are."""
    tokens = re.findall(r'"(?:[^"\\]|\\.)*"|[^\s"]', body.strip())
    return "\r\n\t".join(token if token.startswith('"') else f" {token}" for token in _glued(tokens))


def _glued(tokens: list[str]) -> list[str]:
    """Numbers and words again in one piece."""
    made: list[str] = []
    for token in tokens:
        if made and re.fullmatch(r"[\w.+-]", token) and re.fullmatch(r"[\w.+-]+", made[-1]):
            made[-1] += token
        else:
            made.append(token)
    return made


def spelled(recording: Recording, name: str) -> Recording:
    """The same answer, spelled otherwise."""
    spellings = STREAM_SPELLINGS if recording.stream else WHOLE_SPELLINGS
    return replace(recording, body=spellings[name](recording.body))


# --- a reader ---------------------------------------------------------------------------------------------


@dataclass
class Said:
    """What an answer says in the end. Details keep the order of keys and the spelling of numbers."""

    content: str = ""
    reasoning: str = ""
    details: list[Any] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    """Id, name, arguments."""
    usage: Json | None = None
    finish: str | None = None
    error: Any = None


def parsed(text: str) -> Any:
    """JSON with its numbers as they are spelled."""
    return json.loads(text, parse_float=lambda number: f"#{number}", parse_int=lambda number: f"#{number}")


def events(body: str) -> list[Any]:
    """The data of each event; the reference's own reading, from the whole text."""
    lines = body.replace("\r\n", "\n").split("\n")
    data = [line[5:].strip() for line in lines if line.startswith("data:")]
    return [parsed(one) for one in data if one and one != "[DONE]"]


def said_in(recording: Recording) -> Said:
    """What the provider said."""
    return said_by(events(recording.body)) if recording.stream else said_by([_as_chunk(parsed(recording.body))])


def said_by(chunks: list[Any]) -> Said:
    """What these chunks say together."""
    said = Said()
    places: dict[str, int] = {}
    for chunk in chunks:
        said.error = said.error or chunk.get("error")
        said.usage = chunk.get("usage") or said.usage
        for choice in chunk.get("choices") or []:
            said.usage = choice.get("usage") or said.usage
            said.finish = choice.get("finish_reason") or said.finish
            _add(said, places, choice.get("delta") or {})
    return said


def _as_chunk(whole: Json) -> Json:
    for choice in whole["choices"]:
        choice["delta"] = choice["message"]
    return whole


def _add(said: Said, places: dict[str, int], delta: Json) -> None:
    said.content += delta.get("content") or ""
    details = delta.get("reasoning_details") or []
    texts = [detail.get("text") or detail.get("summary") or "" for detail in details]
    said.reasoning += delta.get("reasoning") or delta.get("reasoning_content") or "".join(texts)
    said.details += details
    for number, call in enumerate(delta.get("tool_calls") or []):
        index = str(call.get("index", f"none{number}"))
        if call.get("id") and [call["id"]] != [one[0] for one in said.calls[places.get(index, len(said.calls)) :][:1]]:
            places[index] = len(said.calls)
            said.calls.append([call["id"], "", ""])
        entry = said.calls[places[index]]
        entry[1] = entry[1] or call["function"].get("name") or ""
        entry[2] += call["function"].get("arguments") or ""
