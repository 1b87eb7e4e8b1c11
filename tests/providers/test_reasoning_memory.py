"""Reasoning remembered by tool call, and given back to whom it came from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.details import identities
from providers.dialects import REGISTRY
from providers.dialects.base import Call, Envelope
from providers.reasoning_memory import MOST_KEPT, NO_NAMES, Thought, asked_for, kept, read
from providers.splice import JsonObject

ENVELOPE = Envelope("gen-1", "m", "P", 1, remember=True)
CALLS = '"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]'
SIGNED = '[{"type":"reasoning.text","text":"why","signature":"S","format":"anthropic-claude-v1","index":0}]'


def streamed(dialect: str, *deltas: str, envelope: Envelope = ENVELOPE) -> tuple[Thought, ...]:
    reader = REGISTRY[dialect].stream(envelope)
    for delta in deltas:
        reader.feed(f'data: {{"choices":[{{"index":0,"delta":{{{delta}}}}}]}}\n\n'.encode())
    reader.feed(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    assert reader.error is None
    return reader.thoughts


def answered(dialect: str, message: str, envelope: Envelope = ENVELOPE) -> tuple[Thought, ...]:
    data = f'{{"choices":[{{"index":0,"message":{{{message}}},"finish_reason":"stop"}}]}}'
    return REGISTRY[dialect].whole(data.encode(), envelope).thoughts


def sent(dialect: str, *messages: str, **call: Any) -> list[dict[str, Any]]:
    body = JsonObject(('{"model":"m","messages":[' + ",".join(messages) + "]}").encode())
    made: list[dict[str, Any]] = json.loads(REGISTRY[dialect].encode(Call(body, "up", False, **call)))["messages"]
    return made


@pytest.mark.parametrize("dialect", ["moonshot", "openai", "vllm", "deepseek"])
def test_the_reasoning_before_a_call_is_collected_streamed_or_not(dialect: str) -> None:
    expected = (Thought(("c1",), b'"why\\u00e9 not"', None, ()),)
    assert streamed(dialect, '"reasoning_content":"why\\u00e9"', '"reasoning":" not"', CALLS) == expected
    assert answered(dialect, '"reasoning_content":"why\\u00e9 not","reasoning":"why\\u00e9 not",' + CALLS) == expected


def test_every_call_of_an_answer_leads_to_its_reasoning() -> None:
    more = CALLS.replace("c1", "c2").replace('"index":0', '"index":1')
    assert streamed("openai", '"reasoning_content":"a"', CALLS, more)[0].calls == ("c1", "c2")


@pytest.mark.parametrize("deltas", [('"reasoning_content":"a"', '"content":"b"'), (CALLS,), ('"content":"b"',)])
def test_without_both_reasoning_and_calls_there_is_nothing_to_remember(deltas: tuple[str, ...]) -> None:
    assert streamed("openai", *deltas) == ()
    assert answered("openai", ",".join(deltas)) == ()


def test_where_no_tools_were_offered_nothing_is_collected() -> None:
    envelope = Envelope("gen-1", "m", "P", 1)
    assert streamed("openai", '"reasoning_content":"a"', CALLS, envelope=envelope) == ()
    assert answered("openai", '"reasoning_content":"a",' + CALLS, envelope) == ()


def test_more_than_is_worth_keeping_is_forgotten() -> None:
    piece = '"reasoning_content":"' + "x" * (MOST_KEPT // 2) + '"'
    assert streamed("openai", piece, piece, piece, CALLS) == ()


def test_signed_blocks_are_noted_even_without_calls() -> None:
    fragments = (
        '"reasoning_details":[{"type":"reasoning.text","text":"why","index":0}]',
        '"reasoning_details":[{"type":"reasoning.text","signature":"S","index":0}]',
    )
    for thoughts in (streamed("openrouter", *fragments), answered("openrouter", f'"reasoning_details":{SIGNED}')):
        assert thoughts[0].calls == ()
        assert list(thoughts[0].signed) == identities(SIGNED.encode())


def test_what_is_kept_reads_the_same() -> None:
    record = kept(Thought(("c",), b'"\\ud83d"', SIGNED.encode(), ()), "here")
    assert read(record) == ("here", b'"\\ud83d"', SIGNED.encode())
    assert read(kept(Thought(("c",), b'"a"', None, ()), "here")) == ("here", b'"a"', None)
    assert read("not json") is None


TWO_CALLS = CALLS[:-1] + "," + CALLS[CALLS.index("{") :].replace("c1", "c2")
ASSISTANT = '{"role":"assistant","content":null,' + CALLS + "}"


def test_only_what_is_missing_is_asked_for_and_what_is_brought_is_looked_at() -> None:
    # What a client brings may be but the end of what was said, which only the memory can tell; yet nearly always it is
    # all of it, so nobody waits for other replicas because of it.
    other = ASSISTANT.replace("c1", "c2")[:-1] + ',"reasoning":"r"}'
    empty = ASSISTANT.replace("c1", "c3")[:-1] + ',"reasoning":"","reasoning_details":[]}'
    signed = '{"role":"assistant","content":"a","reasoning_details":' + SIGNED + "}"
    user = '{"role":"user","content":"tool_calls"}'
    messages = ("[" + ",".join((user, ASSISTANT, other, empty, signed, ASSISTANT)) + "]").encode()
    assert asked_for(messages) == (("c1", "c3", *identities(SIGNED.encode())), ("c2",))
    assert asked_for(b'[{"role":"user","content":"hi"}]') is NO_NAMES


def test_an_id_that_several_messages_have_names_none_that_brings_reasoning() -> None:
    brought = ASSISTANT[:-1] + ',"reasoning":"r"}'
    alone = brought.replace("c1", "c2")
    for messages in ((brought, brought, alone), (ASSISTANT, brought, alone), (brought, alone, ASSISTANT)):
        assert asked_for(("[" + ",".join(messages) + "]").encode()) == ((), ("c2",))


def test_each_call_of_a_message_names_its_reasoning() -> None:
    for calls in (TWO_CALLS, TWO_CALLS.replace("c2", "c1")):
        message = f'[{{"role":"assistant","reasoning":"r",{calls}}}]'.encode()
        assert asked_for(message) == ((), tuple(dict.fromkeys(("c1", "c2" if "c2" in calls else "c1"))))


@pytest.mark.parametrize(
    "messages", [b"7", b'["tool_calls"]', b'[{"tool_calls":7,"role":"assistant"}]', b'"tool_calls"']
)
def test_messages_that_are_none_ask_for_nothing(messages: bytes) -> None:
    assert asked_for(messages) == NO_NAMES


def test_reasoning_is_restored_in_the_field_the_upstream_reads() -> None:
    recalled = {"c1": kept(Thought(("c1",), b'"why"', None, ()), "anywhere")}
    assert sent("moonshot", ASSISTANT, recalled=recalled)[0]["reasoning_content"] == "why"
    assert sent("vllm", ASSISTANT, recalled=recalled)[0]["reasoning"] == "why"
    assert "reasoning" not in "".join(sent("mistral", ASSISTANT, recalled=recalled)[0])
    assert sent("moonshot", ASSISTANT)[0]["reasoning_content"] == " "


def test_what_the_client_sends_itself_outranks_what_is_remembered() -> None:
    recalled = {"c1": kept(Thought(("c1",), b'"old"', None, ()), "anywhere")}
    message = ASSISTANT[:-1] + ',"reasoning":"own"}'
    assert sent("moonshot", message, recalled=recalled)[0]["reasoning_content"] == "own"


def test_blocks_are_restored_only_to_whom_they_came_from() -> None:
    recalled = {"c1": kept(Thought(("c1",), b'"why"', SIGNED.encode(), ()), "router-a")}
    assert sent("openrouter", ASSISTANT, recalled=recalled, provider="router-a")[0]["reasoning_details"] == json.loads(
        SIGNED
    )
    assert "reasoning_details" not in sent("openrouter", ASSISTANT, recalled=recalled, provider="router-b")[0]
    explicit = ASSISTANT[:-1] + ',"reasoning_details":[]}'
    assert sent("openrouter", explicit, recalled=recalled, provider="router-a")[0]["reasoning_details"] == []


SAID = Thought(("c1",), b'"why \\u00e9 not"', None, ())


def with_reasoning(**fields: Any) -> str:
    return json.dumps({**json.loads(ASSISTANT), **fields})


@pytest.mark.parametrize("dialect", ["moonshot", "vllm", "deepseek"])
@pytest.mark.parametrize(
    ("brought", "reaches"),
    [("not", "why é not"), ("é not", "why é not"), ("why é not", "why é not"), ("why", "why"), ("Why not", "Why not")],
)
def test_a_text_that_is_but_the_end_of_what_was_said_is_made_whole(dialect: str, brought: str, reaches: str) -> None:
    recalled = {"c1": kept(SAID, "anywhere")}
    details = [{"type": "reasoning.text", "text": brought, "format": "unknown", "index": 0}]
    for fields in ({"reasoning": brought}, {"reasoning_content": brought, "reasoning_details": details}):
        (message,) = sent(dialect, with_reasoning(**fields), recalled=recalled)
        field = "reasoning" if dialect == "vllm" else "reasoning_content"
        assert {name: message[name] for name in message if name.startswith("reasoning")} == {field: reaches}


@pytest.mark.parametrize("dialect", ["moonshot", "openrouter"])
def test_what_is_whole_is_forwarded_as_the_client_spelled_it(dialect: str) -> None:
    message = ASSISTANT[:-1] + ',"reasoning_content":"why é\\u0020not"}'
    body = JsonObject(('{"model":"up","messages":[' + message + "]}").encode())
    call = Call(body, "up", False, provider="anywhere", recalled={"c1": kept(SAID, "anywhere")})
    assert message.encode() in REGISTRY[dialect].encode(call)


def test_half_a_character_is_no_end_of_anything() -> None:
    recalled = {"c1": kept(Thought(("c1",), b'"why \\ud83d"', None, ()), "router-a")}
    message = ASSISTANT[:-1] + ',"reasoning":"\\ud83d"}'
    body = JsonObject(('{"model":"up","messages":[' + message + "]}").encode())
    for dialect in ("vllm", "openrouter"):
        assert message.encode() in REGISTRY[dialect].encode(
            Call(body, "up", False, provider="router-a", recalled=recalled)
        )


def test_any_call_of_a_message_leads_to_its_reasoning() -> None:
    recalled = {"c2": kept(SAID, "anywhere")}
    message = json.dumps({**json.loads("{" + TWO_CALLS + "}"), "role": "assistant", "reasoning": "not"})
    assert sent("moonshot", message, recalled=recalled)[0]["reasoning_content"] == "why é not"


BOTH = SIGNED[:-1] + ',{"type":"reasoning.encrypted","data":"E","id":"e1","index":1}]'
WHOLE = json.loads(BOTH)
ENCRYPTED = [{"type": "reasoning.encrypted", "data": "E", "index": 1}]
LAST = [{"type": "reasoning.text", "signature": "S", "format": "anthropic-claude-v1", "index": 0}]
OTHERS = [{**LAST[0], "signature": "T"}]
NO_TEXTS: tuple[dict[str, Any], ...] = ({}, {"reasoning": None}, {"reasoning": "", "reasoning_details": None})
LOST: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    *((fields, {**fields, "reasoning_details": WHOLE}) for fields in NO_TEXTS),
    ({"reasoning": "why"}, {"reasoning": "why", "reasoning_details": WHOLE}),
    ({"reasoning_content": "y"}, {"reasoning_content": "why", "reasoning_details": WHOLE}),
    ({"reasoning": "y", "reasoning_details": LAST}, {"reasoning": "why", "reasoning_details": WHOLE}),
    (
        {"reasoning": "hy", "reasoning_details": [{"type": "reasoning.text", "text": "y", "index": 0}]},
        {"reasoning": "why", "reasoning_details": WHOLE},
    ),
    ({"reasoning_details": [{"type": "reasoning.text", "text": "y"}]}, {"reasoning_details": WHOLE}),
    ({"reasoning": None, "reasoning_details": LAST}, {"reasoning": None, "reasoning_details": WHOLE}),
    ({"reasoning": "y", "reasoning_details": ENCRYPTED}, {"reasoning": "why", "reasoning_details": ENCRYPTED}),
)
KEPT_AS_SENT: tuple[dict[str, Any], ...] = (
    {"reasoning": "w"},
    {"reasoning": "own"},
    {"reasoning": "why", "reasoning_content": "own"},
    {"reasoning": "y", "reasoning_details": OTHERS},
    {"reasoning": "y", "reasoning_details": [{"type": "reasoning.text", "text": "own"}]},
    {"reasoning": "why", "reasoning_details": []},
    {"reasoning_details": ENCRYPTED},
    {"reasoning": "why", "reasoning_details": ENCRYPTED},
    {"reasoning": "why", "reasoning_details": [{"type": "reasoning.text", "text": "why", "index": 0}]},
    {"reasoning": "why", "reasoning_details": WHOLE},
)


@pytest.mark.parametrize(("brought", "reaches"), LOST)
def test_an_issuer_is_sent_back_what_its_client_lost(brought: dict[str, Any], reaches: dict[str, Any]) -> None:
    recalled = {"c1": kept(Thought(("c1",), b'"why"', BOTH.encode(), ()), "router-a")}
    message = with_reasoning(**brought)
    (got,) = sent("openrouter", message, recalled=recalled, provider="router-a")
    assert {name: got[name] for name in got if name.startswith("reasoning")} == reaches
    assert sent("openrouter", message, recalled=recalled, provider="router-b") == [json.loads(message)]


@pytest.mark.parametrize("brought", KEPT_AS_SENT)
def test_an_issuer_is_sent_nothing_that_its_client_changed(brought: dict[str, Any]) -> None:
    recalled = {"c1": kept(Thought(("c1",), b'"why"', BOTH.encode(), ()), "router-a")}
    message = with_reasoning(**brought)
    assert sent("openrouter", message, recalled=recalled, provider="router-a") == [json.loads(message)]


def test_where_an_issuer_gave_no_details_its_text_alone_is_made_whole() -> None:
    recalled = {"c1": kept(SAID, "router-a")}
    (got,) = sent("openrouter", with_reasoning(reasoning="not"), recalled=recalled, provider="router-a")
    assert got == json.loads(with_reasoning(reasoning="why é not"))
    message = with_reasoning(reasoning="not", reasoning_details=LAST)
    assert sent("openrouter", message, recalled=recalled, provider="router-a") == [json.loads(message)]


def test_foreign_blocks_go_even_where_they_are_the_end_of_what_is_remembered() -> None:
    recalled = {"c1": kept(Thought(("c1",), b'"why"', SIGNED.encode(), ()), "router-a")}
    origins = dict.fromkeys(identities(SIGNED.encode()), "router-a")
    message = with_reasoning(reasoning="y", reasoning_details=LAST)
    made = sent("openrouter", message, recalled=recalled, origins=origins, provider="router-b")
    assert made == [json.loads(ASSISTANT)]


def test_signed_blocks_never_reach_another_provider_and_come_back_to_their_own() -> None:
    details = (
        SIGNED[:-1] + ',{"type":"reasoning.text","text":"plain","index":1},{"type":"reasoning.encrypted","data":"E"}]'
    )
    message = '{"role":"assistant","content":"a","reasoning":"why","reasoning_details":' + details + "}"
    origins = dict.fromkeys(identities(details.encode()), "router-a")
    (elsewhere,) = sent("openrouter", message, origins=origins, provider="router-b")
    assert elsewhere == {
        "role": "assistant",
        "content": "a",
        "reasoning_details": [{"type": "reasoning.text", "text": "plain", "index": 1}],
    }
    assert sent("openrouter", message, origins=origins, provider="router-a") == [json.loads(message)]
    assert sent("openrouter", message, provider="router-b") == [json.loads(message)]
    assert "signature" not in json.dumps(sent("moonshot", message))


def test_a_message_left_without_blocks_has_no_empty_list_of_them() -> None:
    message = '{"role":"assistant","content":"a","reasoning_details":' + SIGNED + "}"
    origins = dict.fromkeys(identities(SIGNED.encode()), "router-a")
    assert sent("openrouter", message, origins=origins, provider="b") == [{"role": "assistant", "content": "a"}]
