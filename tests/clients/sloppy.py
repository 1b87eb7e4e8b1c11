"""Streams as sloppy providers send them: each loses something in one SDK or the other unless it is made right."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping

from providers.sandbox import Answer, RawBytes, Tokens, ToolCall, event_stream
from tests.clients.held import Json
from tests.clients.lab import Scene

SAID = Answer(
    content="a\u2028b",
    tool_calls=(ToolCall("f", '{"a":1}', "call_1"), ToolCall("g", '{"b":"ü"}', "call_2")),
    tokens=Tokens(prompt=5, completion=7, reasoning=0),
)
"""What every one of them says."""


def _tool(index: int, arguments: str, name: str | None = None) -> Json:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    opened = {} if name is None else {"id": f"call_{index + 1}", "type": "function"}
    return {"tool_calls": [{"index": index, **opened, "function": function}]}


def _events() -> list[Json]:
    deltas: list[Json] = [
        {"role": "assistant", "content": ""},
        {"content": "a\u2028"},
        {"content": "b"},
        _tool(0, "", "f"),
        _tool(0, '{"a":'),
        _tool(0, "1}"),
        _tool(1, "", "g"),
        _tool(1, '{"b":"ü'),
        _tool(1, '"}'),
    ]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    return [*({**head, "choices": [choice]} for choice in choices), {**head, "choices": [], "usage": usage}]


def _role_on_every_delta(events: list[Json]) -> None:
    for choice in _choices(events):
        choice["delta"]["role"] = "assistant"


def _id_name_and_type_on_every_tool_delta(events: list[Json]) -> None:
    for call in _calls(events):
        call |= {"id": f"call_{call['index'] + 1}", "type": "function"}
        call["function"]["name"] = "fg"[call["index"]]


def _empty_id_and_name_on_later_deltas(events: list[Json]) -> None:
    for call in _calls(events):
        call.setdefault("id", "")
        call["function"].setdefault("name", "")


def _tool_indexes_from_one(events: list[Json]) -> None:
    for call in _calls(events):
        call["index"] += 1


def _no_tool_indexes(events: list[Json]) -> None:
    for call in _calls(events):
        del call["index"]


def _parallel_calls_that_share_index_zero(events: list[Json]) -> None:
    for call in _calls(events):
        call["id"] = f"call_{call['index'] + 1}"
        call["index"] = 0


def _arguments_as_objects(events: list[Json]) -> None:
    del events[7:9], events[4:6]
    for call, arguments in zip(_calls(events), ({"a": 1}, {"b": "ü"}), strict=True):
        call["function"]["arguments"] = arguments


def _another_tool_type(events: list[Json]) -> None:
    for call in _calls(events):
        call["type"] = "builtin_function"


def _error_null_everywhere(events: list[Json]) -> None:
    for event in events:
        event["error"] = None


def _empty_finish_reasons(events: list[Json]) -> None:
    for choice in _choices(events):
        choice["finish_reason"] = choice["finish_reason"] or ""


def _stop_where_tools_were_called(events: list[Json]) -> None:
    for choice in _choices(events):
        choice["finish_reason"] = choice["finish_reason"] and "stop"


def _no_finish_reason(events: list[Json]) -> None:
    for choice in _choices(events):
        choice["finish_reason"] = None


def _usage_null_after_usage(events: list[Json]) -> None:
    events.append({**events[0], "choices": [], "usage": None})


def _usage_on_every_chunk(events: list[Json]) -> None:
    for event in events:
        event.setdefault("usage", events[-1]["usage"])


def _usage_only_in_the_choice(events: list[Json]) -> None:
    events[-2]["choices"][0]["usage"] = events.pop()["usage"]


def _usage_chunk_without_choices(events: list[Json]) -> None:
    del events[-1]["choices"]


def _choices_null(events: list[Json]) -> None:
    events[-1]["choices"] = None
    events.insert(0, {**events[0], "choices": None})


def _content_in_parts(events: list[Json]) -> None:
    for choice in _choices(events):
        if text := choice["delta"].get("content"):
            choice["delta"]["content"] = [{"type": "text", "text": text}]


def _id_and_model_that_change(events: list[Json]) -> None:
    for number, event in enumerate(events):
        event |= {"id": f"gen-{number}", "model": f"m{number}", "created": number}


def _as_it_should_be(events: list[Json]) -> None:
    pass


def _choices(events: list[Json]) -> list[Json]:
    return [choice for event in events for choice in event["choices"]]


def _calls(events: list[Json]) -> list[Json]:
    return [call for choice in _choices(events) for call in choice["delta"].get("tool_calls", ())]


Spoil = Callable[[list[Json]], None]
SPOILS: Mapping[str, Spoil] = {
    function.__name__.strip("_").replace("_", "-"): function
    for function in (
        _as_it_should_be,
        _role_on_every_delta,
        _id_name_and_type_on_every_tool_delta,
        _empty_id_and_name_on_later_deltas,
        _tool_indexes_from_one,
        _no_tool_indexes,
        _parallel_calls_that_share_index_zero,
        _arguments_as_objects,
        _another_tool_type,
        _error_null_everywhere,
        _empty_finish_reasons,
        _stop_where_tools_were_called,
        _no_finish_reason,
        _usage_null_after_usage,
        _usage_on_every_chunk,
        _usage_only_in_the_choice,
        _usage_chunk_without_choices,
        _choices_null,
        _content_in_parts,
        _id_and_model_that_change,
    )
}


def _stream(spoil: Spoil) -> RawBytes:
    events = copy.deepcopy(_events())
    spoil(events)
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
    return RawBytes(event_stream("".join([*lines, "data: [DONE]\n\n"]).encode()))


def _framings() -> Mapping[str, RawBytes]:
    """The right events, framed otherwise."""
    plain = _stream(_as_it_should_be).data
    head, body = plain.split(b"\r\n\r\n", 1)
    spellings = {
        "named-and-numbered": body.replace(b"data: {", b"event: message\nid: 7\nretry: 10\ndata: {"),
        "no-done": body.removesuffix(b"data: [DONE]\n\n"),
        "no-last-blank-line": body.removesuffix(b"data: [DONE]\n\n").removesuffix(b"\n"),
        "no-blank-lines": body.replace(b"\n\n", b"\n") + b"\n",
        "byte-order-mark": b"\xef\xbb\xbf" + body,
        "comments": body.replace(b"data: {", b": still here\n\ndata: {"),
        "bare-cr": body.replace(b"\n", b"\r"),
    }
    return {name: RawBytes(head + b"\r\n\r\n" + spelling) for name, spelling in spellings.items()}


def sloppy_scenes(dialect: str) -> list[Scene]:
    """All of them, by one dialect."""
    played = {name: _stream(spoil) for name, spoil in SPOILS.items()} | _framings()
    return [Scene(dialect, name, SAID, stream) for name, stream in played.items()]
