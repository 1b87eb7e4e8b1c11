"""What the pages say, without a browser: empty, broken, past and odd."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from config.load import BUNDLED, load
from router import catalogue
from router.dashboard import code, words
from router.dashboard.figures import RECENT
from router.dashboard.pages.costs import at_rates
from router.dashboard.pages.requests import A_PAGE, bars
from router.dashboard.period import period
from router.state.values import StateError, Total
from tests.dashboard.history import rows
from tests.dashboard.scene import MODEL, Scene, scene

NAMES = ("", "/providers", "/models", "/costs", "/requests", f"/models/{MODEL}")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


async def get(stage: Scene, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"{stage.url}/dashboard{path}")


async def test_every_template_is_compiled_before_the_first_page(stage: Scene) -> None:
    site = stage.gateway._site
    await site.prepare()
    cache = site._templates.cache
    assert cache is not None
    assert len(cache) == len(site._templates.list_templates(extensions=["html"])) > 10


async def test_before_any_traffic_every_page_says_what_to_do_next(stage: Scene) -> None:
    for path in NAMES:
        assert (await get(stage, path)).status_code == 200
    assert "Send the first request" in (await get(stage, "")).text
    assert "No requests yet" in (await get(stage, "/requests")).text
    assert "Nothing was spent" in (await get(stage, "/costs")).text


@pytest.mark.parametrize("name", ["1h", "24h", "7d", "30d", "1y", "nonsense", ""])
async def test_every_period_has_a_page(stage: Scene, name: str) -> None:
    await stage.gateway.store.ledger.append(list(rows(time.time() - 60, 30)))
    for path in NAMES:
        assert (await get(stage, f"{path}?range={name}")).status_code == 200, path


async def test_an_unknown_model_is_answered_with_the_nearest_ones(stage: Scene) -> None:
    said = await get(stage, "/models/moonshotai/kimi-k2-thinkin")
    assert said.status_code == 404
    assert f'href="/dashboard/models/{MODEL}"' in said.text


@pytest.mark.parametrize("path", ["/nowhere", "/requests/gen-none", "/costs/deeper", "/requests/..%2f..%2fetc", "/%00"])
async def test_an_unknown_page_is_a_helpful_404(stage: Scene, path: str) -> None:
    said = await get(stage, path)
    assert said.status_code == 404
    assert 'href="/dashboard"' in said.text


async def test_a_request_opens_its_decision_with_the_reason_for_each_exclusion(stage: Scene) -> None:
    said = await stage.ask(provider={"ignore": ["cometapi"]})
    page = await get(stage, f"/requests/{said.headers['x-generation-id']}")
    assert page.status_code == 200
    assert "the preferences leave this provider out" in page.text
    assert "its provider is off" in page.text


async def test_a_models_tips_and_benchmarks_are_on_its_page_and_hostile_ones_are_inert(tmp_path: Path) -> None:
    struck = "<script>window.struck=1</script>"
    benchmarks = {
        struck: {"score": 71.3, "source": "javascript:window.struck=1", "date": "2025-11-06"},
        "Linked": {"score": 1234.5, "source": 'https://bench.example/"><script>'},
        "Plain": 44,
    }
    endpoint = {"provider": "idle", "model": "x", "price": {"prompt": 1, "completion": 1}}
    model = {"context_length": 1000, "endpoints": [endpoint], "tips": [struck], "benchmarks": benchmarks}
    async with scene(tmp_path, also={"a/told": model}) as stage:
        page = (await get(stage, "/models/a/told")).text
        advised, plain = (await get(stage, f"/models/{MODEL}")).text, (await get(stage, f"/models/{MODEL}-turbo")).text
    assert "<script>window" not in page
    assert 'href="javascript' not in page
    assert page.count("&lt;script&gt;window.struck=1&lt;/script&gt;") >= 2
    assert all(shown in page for shown in ("71.3", "2025-11-06", "1,234.5", ">44<", ">bench.example<"))
    assert "Set temperature to 1.0." in advised
    assert 'id="benchmarks"' not in advised
    assert 'id="tips"' not in plain


async def test_a_provider_that_is_gone_keeps_its_history(stage: Scene) -> None:
    gone = [row for row in rows(time.time() - 60, 3) if row.provider == "moonshot"]
    await stage.gateway.store.ledger.append(gone)
    renamed = [
        replace(
            row,
            id=row.id + "x",
            provider="bygone",
            attempts=tuple(replace(one, provider="bygone", tag="bygone") for one in row.attempts),
        )
        for row in gone
    ]
    await stage.gateway.store.ledger.append(renamed)
    for path in ("", "/providers", "/costs?by=provider", f"/requests/{renamed[0].id}"):
        said = await get(stage, path)
        assert said.status_code == 200
        assert "bygone" in said.text or "gen-" in path


async def test_rows_from_a_clock_that_jumped_do_no_harm(stage: Scene) -> None:
    future = [row for row in rows(time.time() + 86_400 * 400, 2)]
    past = [row for row in rows(3600.0 * 5, 2)]
    await stage.gateway.store.ledger.append(future + past)
    for path in (*NAMES, f"/requests/{future[0].id}", f"/requests/{past[0].id}"):
        assert (await get(stage, path)).status_code == 200, path


async def test_a_ledger_that_cannot_be_read_is_said_not_hidden(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise StateError("Redis at redis:6379 does not answer.")

    for name in ("totals", "attempts", "recent"):
        monkeypatch.setattr(stage.gateway.store.ledger, name, refuse)
    said = await get(stage, "")
    assert said.status_code == 503
    assert "Redis at redis:6379 does not answer." in said.text


async def test_requests_can_be_searched_and_paged_through_to_the_last(stage: Scene) -> None:
    past = list(rows(time.time() - 60, 12))
    await stage.gateway.store.ledger.append(past)
    page, seen, before = await get(stage, "/requests"), set(), None
    while True:
        seen |= {part.split('"')[0] for part in page.text.split('id="row-')[1:]}
        if 'name="before"' not in page.text:
            break
        before = page.text.split('name="before" value="')[1].split('"')[0]
        page = await get(stage, f"/requests?before={before}")
    assert seen == {row.id for row in past}
    found = (await get(stage, "/requests?q=nightly")).text
    newest = past[-RECENT:]
    assert found.count('id="row-') == min(A_PAGE, sum(row.key_name == "Nightly evals" for row in newest))


def test_what_traffic_would_have_cost_elsewhere_is_exact() -> None:
    built = catalogue.build(load(BUNDLED, {}))
    endpoint = next(one for one in built.models["moonshotai/kimi-k2.6"].endpoints if one.provider.slug == "moonshot")
    total = Total(("m",), requests=2, prompt=1_000_000, cached=400_000, completion=100_000)
    rates = endpoint.rates
    assert rates.cache_read is not None
    expected = rates.prompt * Decimal("0.6") + rates.cache_read * Decimal("0.4") + rates.completion * Decimal("0.1")
    assert at_rates(endpoint, total) == expected


def test_the_attempts_of_a_waterfall_fit_the_request() -> None:
    for row in rows(1e9, 40):
        for bar in bars(row):
            assert 0 <= bar.start <= 100
            assert bar.start + bar.waiting + bar.answering <= 100.0001


def test_attempts_are_drawn_where_they_began_so_that_racing_ones_lie_beside_each_other() -> None:
    row = next(rows(1e9, 2))
    slow = replace(row.attempts[0], result="cancelled", started=0.5, duration=2.5, first_token=None)
    fast = replace(row.attempts[0], result="success", started=2.0, duration=2.0, first_token=0.5)
    raced = replace(row, attempts=(fast, slow), duration=4.0)
    first, second = bars(raced, [{"hedged": True}, {"hedged": False}])
    assert (first.start, first.waiting, first.answering, first.tone) == (12.5, 62.5, 0.0, "none")
    assert (second.start, second.waiting, second.answering, second.tone) == (50.0, 12.5, 37.5, "ok")
    assert "slow to begin" in second.note
    assert not first.note


def test_numbers_are_written_for_people() -> None:
    assert [words.usd(Decimal(one)) for one in ("0", "0.0000012", "0.0042", "0.12", "1234.5", "-3")] == [
        "$0.00",
        "$0.0000012",
        "$0.0042",
        "$0.12",
        "$1,234.50",
        "−$3.00",
    ]
    assert [words.count(one) for one in (0, 999, 12_345, 4_560_000)] == ["0", "999", "12.3k", "4.56M"]
    assert [words.percent(one, 2) for one in (None, 0.0, 0.99999, 1.0, 0.5)] == ["–", "0%", "99.99%", "100%", "50.00%"]
    assert [words.seconds(one) for one in (0.0004, 0.25, 3.0, 125.0, 7260.0)] == [
        "400 µs",
        "250 ms",
        "3.00 s",
        "2 min 5 s",
        "2 h 1 min",
    ]
    assert [words.price(Decimal(one)) for one in ("0", "0.4", "15", "0.0375")] == ["free", "$0.40", "$15.00", "$0.0375"]
    assert [words.tokens(one) for one in (None, 4096, 262_144, 1_048_576)] == ["–", "4,096", "262k", "1.05M"]


def test_code_to_copy_is_quoted_for_its_language() -> None:
    hostile = 'it\'s "a" $(model)\n'
    shown = dict(code.samples("http://127.0.0.1:8080", hostile))
    compile(shown["Python"], "sample", "exec")
    assert "it'\\''s" in shown["curl"]


def test_a_period_ends_with_the_bucket_under_way() -> None:
    day = period("24h", 86_400 * 100 + 1800)
    assert list(day.buckets)[-1] == 86_400 * 100
    assert len(day.buckets) == 24
    assert period("30d", 86_400 * 100 + 5).until % 86_400 == 0
