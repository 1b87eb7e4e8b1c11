"""The ledger: one row a request, sums that agree with the rows, the same on both stores."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from router.state.base import Store
from router.state.values import AttemptRow, AttemptTotal, Dimension, Query, Row, Total
from tests.contract.servers import Clock

USD = Decimal
DAY = 86_400


def row(number: int, at: float, **changes: Any) -> Row:
    plain = Row(
        id=f"gen-{number}",
        created=at,
        requested="a/model",
        status=200,
        decision=msgspec.Raw(b"null"),
        key="hash",
        key_name="laptop",
        model="a/model",
        provider="moonshot",
        provider_name="Moonshot AI",
        tag="moonshot/int4",
        prompt=100,
        cached=40,
        reasoning=5,
        completion=20,
        cost=USD("0.000123000001"),
    )
    return replace(plain, **changes)


GOOD = AttemptRow(
    "moonshot", "Moonshot AI", "a/model", "moonshot/int4", 200, "success", None, 1.5, 0.2, USD("0.01"), 0.125
)
BAD = AttemptRow("cometapi", "CometAPI", "a/model", "cometapi", 503, "server_fault", "boom", 0.1)
LIMITED = AttemptRow("cometapi", "CometAPI", "a/model", "cometapi", 429, "rate_limited", "slow down", 0.1)


async def test_a_row_comes_back_as_it_was(store: Store, clock: Clock) -> None:
    full = row(
        1,
        clock.now,
        stream=True,
        cancelled=True,
        finish_reason="stop",
        native_finish_reason="eos",
        first_token=0.25,
        duration=2.5,
        generation=2.25,
        overhead=0.001,
        cache_write=3,
        upstream_cost=USD("0.00011"),
        estimated=True,
        referer="https://app.example",
        title="<b>App</b>\u2028 ✓",
        user_agent="curl",
        session="s",
        attempts=(BAD, GOOD),
        decision=msgspec.Raw(b'{"requested":"a/model","attempt":2}'),
    )
    await store.ledger.append([full, row(2, clock.now)])
    found = await store.ledger.generation("gen-1")
    assert found == full
    assert bytes(found.decision) == bytes(full.decision)
    assert await store.ledger.generation("gen-3") is None


async def test_a_batch_sent_again_is_stored_once(store: Store, clock: Clock) -> None:
    batch = [row(number, clock.now + number) for number in range(45)]
    await store.ledger.append(batch[:30])
    await store.ledger.append([*batch, batch[-1]])
    assert len(await store.ledger.recent(100)) == 45
    (total,) = await store.ledger.totals(Query(clock.now - DAY))
    assert (total.requests, total.prompt, total.cost) == (45, 4500, 45 * USD("0.000123000001"))


async def test_recent_rows_come_newest_first_in_pages_and_by_key(store: Store, clock: Clock) -> None:
    await store.ledger.append([row(number, clock.now + number, key="ab"[number % 2]) for number in range(10)])

    async def ids(limit: int, before: str | None = None, key: str | None = None) -> list[str]:
        return [one.id for one in await store.ledger.recent(limit, before, key)]

    assert await ids(3) == ["gen-9", "gen-8", "gen-7"]
    assert await ids(3, "gen-7") == ["gen-6", "gen-5", "gen-4"]
    assert await ids(3, key="a") == ["gen-8", "gen-6", "gen-4"]
    assert await ids(9, "gen-4", "a") == ["gen-2", "gen-0"]
    assert await ids(3, "nobody") == []
    assert await ids(3, key="c") == []


async def test_sums_are_grouped_and_filtered(store: Store, clock: Clock) -> None:
    await store.ledger.append(
        [
            row(1, clock.now, attempts=(BAD, GOOD), title="app"),
            row(2, clock.now, attempts=(GOOD,), model="b/model", referer="https://b.example"),
            row(3, clock.now, attempts=(BAD, LIMITED), status=502, model=None, provider=None, cost=USD(0), prompt=0),
            row(4, clock.now, status=499, key="", key_name=""),
        ]
    )
    everything = Query(clock.now - DAY)
    (total,) = await store.ledger.totals(everything)
    assert (total.requests, total.errors, total.saved, total.reasoning) == (4, 1, 1, 20)

    async def counts(**query: Any) -> dict[tuple[str, ...], int]:
        found = await store.ledger.totals(Query(clock.now - DAY, **query))
        return {one.group: one.requests for one in found}

    assert await counts(by=("model",)) == {("a/model",): 3, ("b/model",): 1}
    assert await counts(by=("provider", "app")) == {
        ("", ""): 1,
        ("moonshot", ""): 1,
        ("moonshot", "app"): 1,
        ("moonshot", "https://b.example"): 1,
    }
    assert await counts(by=("key",), model="a/model") == {("hash",): 2, ("",): 1}
    assert await counts(by=("key",), app="app", provider="moonshot") == {("hash",): 1}
    assert await counts(model="none") == {}
    assert await store.ledger.attempts(Query(clock.now - DAY, ("provider",))) == [
        AttemptTotal(("cometapi",), 0, 2, 1),
        AttemptTotal(("moonshot",), 2, 0, 0),
    ]
    assert await store.ledger.key_names() == {"hash": "laptop"}


async def test_sums_by_time_have_the_start_of_their_bucket(store: Store, clock: Clock) -> None:
    clock.now = 1_800_000_000.0 // DAY * DAY + 2 * 3600
    await store.ledger.append(
        [row(1, clock.now - 1), row(2, clock.now), row(3, clock.now + 59.9), row(4, clock.now - 3 * DAY)]
    )

    async def times(by: Dimension, since: float, until: float | None = None) -> dict[int, int]:
        found = await store.ledger.totals(Query(since, (by,), until))
        return {int(one.group[0]): one.requests for one in found}

    now = int(clock.now)
    assert await times("minute", now - 3600) == {now - 60: 1, now: 2}
    assert await times("hour", now - DAY) == {now - 3600: 1, now: 2}
    assert await times("hour", now - DAY, now) == {now - 3600: 1}
    today = now // DAY * DAY
    assert await times("day", today - 29 * DAY) == {today - 3 * DAY: 1, today: 3}
    assert await times("day", now - 60) == {today: 3}


async def test_old_rows_go_and_sums_stay(store: Store, clock: Clock) -> None:
    await store.ledger.append([row(number, clock.now + number * DAY) for number in range(10)])
    clock.now += 10 * DAY
    assert await store.ledger.prune(5.5) == 5
    assert [one.id for one in await store.ledger.recent(100)][-1] == "gen-5"
    assert await store.ledger.generation("gen-4") is None
    (total,) = await store.ledger.totals(Query(clock.now - 30 * DAY, ()))
    assert total.requests == 10


async def test_names_of_apps_are_bounded(store: Store, clock: Clock) -> None:
    rows = [row(number, clock.now, title=f"app {number}") for number in range(1100)]
    for start in range(0, 1100, 500):
        await store.ledger.append(rows[start : start + 500])
    found = {one.group[0]: one.requests for one in await store.ledger.totals(Query(clock.now - DAY, ("app",)))}
    assert len(found) == 1001
    assert found["(other)"] == 100


async def test_separators_in_names_cannot_make_another_group(store: Store, clock: Clock) -> None:
    await store.ledger.append([row(1, clock.now, title="x\x1f0\x1f9", key="k\x1f")])
    (total,) = await store.ledger.totals(Query(clock.now - DAY))
    assert total == Total((), 1, 0, 0, 100, 40, 0, 5, 20, USD("0.000123000001"))


async def test_a_run_that_did_not_end_is_noticed_by_the_next(store: Store) -> None:
    assert await store.ledger.begin("one") is False
    await store.ledger.end("one")
    assert await store.ledger.begin("two") is False
