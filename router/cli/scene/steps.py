"""The steps of the scene, each with a verdict that was verified against the script."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from providers import tasks
from providers.sandbox import Answer, html_502, server_error
from router.cli.scene.checks import Checks
from router.cli.scene.client import Client, Heard, Json, NotAnsweredError, Reply
from router.cli.scene.rig import Provider, Rig
from router.cli.scene.screen import Screen
from router.cli.scene.script import ERRAND, QUESTION, RESULTS, SCRIPT, WEATHER, Script, user
from router.cli.scene.traffic import REQUESTS, Outage, Tally, Traffic

Step = Callable[[Checks], Awaitable[str]]
"""Plays, checks, and says in a line what was verified."""


CUT_AFTER = 110
"""Letters of an answer after which its provider is killed: in the middle of its first list."""
QUICK = 0.1
"""The share of lifelike pauses where nobody watches the tokens come."""


class Scene:
    """Plays on a rig. `script` is what the providers really say; what they should say is SCRIPT."""

    def __init__(self, rig: Rig, client: Client, screen: Screen, script: Script = SCRIPT) -> None:
        self._rig = rig
        self._client = client
        self._screen = screen
        self._script = script
        self._firsts: Counter[str] = Counter()
        self._by_price = ""

    async def play(self) -> bool:
        """Whether everything succeeded. Never raises for what the gateway does."""
        steps: tuple[tuple[str, Step], ...] = (
            ("A question, and the answer as it streams", self.question),
            ("Two tool calls at once, and the reasoning that goes back with their results", self.tools),
            ("The cheapest provider is gone, the next one breaks: the request survives", self.survival),
            ("A provider is killed in the middle of a sentence: the sentence goes on", self.sentence),
            (f"{REQUESTS} requests, and an outage in the middle", self.traffic),
            ("The endpoints now", self.table),
        )
        verdicts = [await self._step(number, title, step) for number, (title, step) in enumerate(steps, 1)]
        return all(verdicts)

    async def _step(self, number: int, title: str, step: Step) -> bool:
        self._screen.heading(number, title)
        checks, says = Checks(), ""
        try:
            says = await step(checks)
        except NotAnsweredError as error:
            checks.failed("the gateway", "an answer", str(error))
        except (httpx.HTTPError, TimeoutError, LookupError, StopIteration) as error:
            checks.failed("this step", "to be played to its end", repr(error))
        self._screen.verdict(checks, says)
        return checks.good

    async def question(self, checks: Checks) -> str:
        self._rig.say(self._script.thinking)
        reply = await self._watch(QUESTION, {"messages": [user(QUESTION)]})
        self._by_price = _chances(reply)
        self._screen.line(f"drawn by price from: {self._by_price}", "dim")
        self._is(checks, reply, SCRIPT.thinking)
        self._is_billed(checks, reply)
        size = len(reply.reasoning.encode()), len(reply.content.encode())
        return f"{size[0]} bytes of reasoning, {size[1]} of answer: as the provider sent them; cost exact"

    async def tools(self, checks: Checks) -> str:
        self._rig.say(self._script.tools)
        asked = [user(ERRAND)]
        reply = await self._watch(ERRAND, {"messages": asked, "tools": [WEATHER]})
        self._is(checks, reply, SCRIPT.tools)
        self._is_billed(checks, reply)
        checks.equal("finish_reason", reply.finish_reason, "tool_calls")
        self._rig.say(self._script.weather)
        answer = {
            "role": "assistant",
            "content": reply.content,
            "tool_calls": reply.tool_calls,
            "reasoning_details": reply.details,
        }
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, result in zip(reply.tool_calls, RESULTS, strict=False)
        ]
        final = await self._watch(None, {"messages": [*asked, answer, *results], "tools": [WEATHER]})
        self._is(checks, final, SCRIPT.weather)
        self._is_billed(checks, final)
        checks.equal("the reasoning sent back", self._sent_back(final), SCRIPT.tools.reasoning)
        return f"both calls to the byte; {final.provider} was handed the reasoning behind them"

    async def survival(self, checks: Checks) -> str:
        self._rig.say(self._script.thinking, QUICK)
        cheapest, second, third = self._rig.providers
        await cheapest.box.refuse(drop=True)
        second.box.script(server_error())
        self._screen.asked(f"{QUESTION}   (sort: price)")
        try:
            reply = await self._client.ask({"messages": [user(QUESTION)], "provider": {"sort": "price"}})
        finally:
            await cheapest.box.accept()
        self._screen.attempts(reply.attempts)
        self._screen.bill(reply)
        order = [attempt["provider"] for attempt in reply.attempts]
        checks.equal("the providers tried", order, [cheapest.name, second.name, third.name])
        checks.equal("who answered", reply.provider, third.name)
        self._is(checks, reply, SCRIPT.thinking)
        self._is_billed(checks, reply)
        lost = sum(attempt["duration"] for attempt in reply.attempts[:-1])
        return f"two providers failed, the client saw one whole answer; they cost it {lost * 1000:.0f} ms"

    async def sentence(self, checks: Checks) -> str:
        self._rig.say(self._script.thinking)
        victim = self._rig.providers[1]
        said = asyncio.Event()
        heard = 0

        def listen(kind: str, text: str) -> None:
            nonlocal heard
            heard += len(text) if kind == "content" else 0
            if heard >= CUT_AFTER:
                said.set()

        async def kill() -> None:
            await said.wait()
            await victim.box.refuse(drop=True)

        killer = tasks.spawn(kill(), "demo: the end of a provider")
        try:
            body = {"messages": [user(QUESTION)], "provider": {"order": [victim.slug]}}
            reply = await self._watch(f"{QUESTION}   (order: {victim.slug})", body, listen)
        finally:
            killer.cancel()
            await victim.box.accept()
        self._screen.attempts(reply.attempts)
        how = [(rescue["broke"], rescue["result"]) for rescue in reply.metadata.get("rescues", ())]
        checks.equal("the streams carried on", how, [(victim.endpoint.tag, "success")])
        checks.equal("the attempts", len(reply.attempts), 2)
        self._is(checks, reply, SCRIPT.thinking)
        return f"{victim.name} died after {CUT_AFTER} letters, {reply.provider} said the rest: one answer"

    async def traffic(self, checks: Checks) -> str:
        self._rig.say(self._script.brief, QUICK)
        with self._screen.progress() as progress:
            task = progress.add_task("", total=REQUESTS, shares="")

            def tick(tally: Tally) -> None:
                total = max(REQUESTS, tally.total)
                progress.update(task, completed=tally.total, total=total, shares=self._shares(tally.firsts))

            run = Traffic(self._client, SCRIPT.brief.content, tick)
            try:
                await run.run(self._outage(self._rig.providers[0]))
            finally:
                self._firsts = run.tally.firsts
        tally = run.tally
        self._screen.line(f"tried first:       {self._shares(tally.firsts)}", "dim")
        self._screen.line(f"by price alone:    {self._by_price}", "dim")
        checks.equal("requests that failed", tally.failures, [])
        checks.equal("answers that are not the script's", tally.wrong, [])
        checks.that("requests saved by fallback", tally.saved > 0, "at least one", tally.saved)
        return f"{tally.answered} of {tally.total} answered, {tally.saved} of them by falling back"

    def _outage(self, victim: Provider) -> Outage:
        return Outage(
            victim,
            begin=lambda: victim.box.always(html_502()),
            end=lambda: victim.say(self._script.brief, QUICK),
            tell=lambda says, style: self._screen.line(f"{victim.name} {says}", style),
        )

    async def table(self, checks: Checks) -> str:
        rows = await self._client.endpoints()
        self._screen.endpoints(self._rig, rows, self._firsts)
        down = [row["tag"] for row in rows if row["unavailable"]]
        checks.equal("endpoints that are not on", down, [])
        for provider in self._rig.providers:
            checks.that(f"attempts at {provider.name}", self._rig.uptime(provider) is not None, "at least one", None)
        return "all three are up; price per million tokens, share of who was tried first"

    def _shares(self, firsts: Counter[str]) -> str:
        total = firsts.total() or 1
        return " · ".join(f"{one.name} {firsts[one.name] / total:.0%}" for one in self._rig.providers)

    async def _watch(self, asked: str | None, body: Json, listen: Heard = lambda kind, text: None) -> Reply:
        """Ask, and show the answer as it comes; `listen` hears it too."""
        if asked is not None:
            self._screen.asked(asked)
        writer = self._screen.typewriter()

        def heard(kind: str, text: str) -> None:
            writer.heard(kind, text)
            listen(kind, text)

        try:
            reply = await self._client.ask(body, heard)
        finally:
            writer.end()
        self._screen.calls(reply)
        self._screen.bill(reply)
        return reply

    def _is(self, checks: Checks, reply: Reply, expected: Answer) -> None:
        checks.equal("the reasoning", reply.reasoning, expected.expected_reasoning)
        checks.equal("the reasoning_details", _text(reply.details), expected.expected_reasoning)
        checks.equal("the answer", reply.content, expected.expected_content)
        checks.equal("the tool calls", reply.tool_calls, expected.expected_tool_calls)

    def _is_billed(self, checks: Checks, reply: Reply) -> None:
        provider = self._rig.named(reply.provider)
        selected = [row["tag"] for row in reply.metadata["endpoints"]["available"] if row["selected"]]
        checks.equal("the endpoint selected", selected, [provider.endpoint.tag])
        checks.that("the cost", reply.cost > 0, "more than nothing", reply.cost)
        checks.equal("the cost", reply.cost, provider.cost(reply.usage))

    def _sent_back(self, reply: Reply) -> str:
        """The reasoning that the provider of `reply` was sent with its tool results."""
        body: Json = json.loads(self._rig.named(reply.provider).box.requests[-1].body)
        message = body["messages"][1]
        return str(message.get("reasoning_content") or _text(message.get("reasoning_details", [])))


def _chances(reply: Reply) -> str:
    rows = sorted(reply.metadata["endpoints"]["available"], key=lambda row: -row["chance"])
    return " · ".join(f"{row['provider']} {row['chance']:.0%}" for row in rows)


def _text(details: list[Any]) -> str:
    return "".join(detail.get("text", "") for detail in details)
