"""A conversation is known by its opening from its first request to its last, and told from any other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.ask import MAX_DEPTH, Ask, parse
from router.conversation import Opening
from router.errors import BadRequest

RULES = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "Why? 文"}
SEEN = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
SAID = {"role": "assistant", "content": "Because."}
CALLED = {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]}
ODD = '{"role":"user","content":1e999}'
"""Read by nobody, and yet passed on."""


def read(messages: list[Any], **more: Any) -> Ask:
    return parse(json.dumps({"model": "m", **more, "messages": messages}).encode(), {})


def opening(messages: list[Any]) -> Opening:
    found = read(messages).opening
    assert found is not None
    return found


@pytest.mark.parametrize("first", [[ASKED], [RULES, ASKED], [RULES, RULES, ASKED], [SEEN], [RULES, SEEN]])
def test_it_stays_the_same_whatever_follows(first: list[Any]) -> None:
    begun = opening(first)
    assert not begun.goes_on
    for more in ([SAID], [CALLED], [SAID, ASKED, CALLED], [{"role": "developer", "content": "x"}], [SEEN]):
        assert opening([*first, *more]) == Opening(begun.digest, True)


def test_any_other_beginning_is_another_conversation() -> None:
    others: list[list[Any]] = [
        [ASKED],
        [RULES, ASKED],
        [RULES],
        [ASKED, RULES],
        [SAID],
        [SEEN],
        [{**ASKED, "content": "Why?"}],
        [{**ASKED, "content": 2**80}],
        [{**ASKED, "role": "assistant"}],
        [{**RULES, "role": "developer"}, ASKED],
        [{**ASKED, "content": "x" * 300_000}],
        [{**ASKED, "content": "x" * 150_000 + "y" + "x" * 149_999}],
    ]
    digests = [opening(messages).digest for messages in others]
    assert len(set(digests)) == len(others) - 1
    assert digests[0] == digests[3], "of a system message that comes later nothing is known at first"


def test_how_its_json_is_spelled_does_not_matter() -> None:
    text = json.dumps({"messages": [RULES, ASKED], "model": "m"}, ensure_ascii=False, indent=3)
    assert parse(text.encode(), {}).opening == opening([RULES, ASKED])


def test_a_conversation_whose_messages_cannot_be_read_has_one_too() -> None:
    first, second = (
        parse(b'{"model":"m","messages":[' + items.encode() + b"]}", {}).opening
        for items in (ODD, f"{ODD},{json.dumps(CALLED)}")
    )
    assert first is not None
    assert second == Opening(first.digest, True)


def test_a_session_needs_none() -> None:
    assert read([ASKED], session_id="s").opening is None


@pytest.mark.parametrize("padding", ["", "x" * 20_000])
@pytest.mark.parametrize("messages", ['[{"role":"user","content":"%s"}]', '[{"role":"tool","content":"%s"}]'])
def test_what_is_deep_is_refused_wherever_it_is(messages: str, padding: str) -> None:
    body = '{"model":"m","a":1,%s"messages":' + messages % padding + "}"
    nested = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert parse((body % f'"logit_bias":{nested},').encode(), {}).models == ("m",)
    for deep in (f'"logit_bias":[{nested}],', f'"a":[{nested}],"a":1,', f'"tools":{"[" * 100_000}{"]" * 100_000},'):
        with pytest.raises(BadRequest, match="deep"):
            parse((body % deep).encode(), {})
