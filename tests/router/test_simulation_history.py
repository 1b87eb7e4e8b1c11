"""The ledger as a simulation's workload, and its endpoints as they were measured there."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from router.simulation import history
from router.state.embedded import EmbeddedStore
from router.state.values import AttemptRow, Row


def row(number: int, *attempts: AttemptRow, created: float = 0.0) -> Row:
    return Row(
        id=f"gen-{number}",
        created=created or 1_000_000.0 + number,
        requested="m",
        status=200,
        decision=msgspec.Raw(b"null"),
        model="m",
        tag=attempts[-1].tag,
        provider=attempts[-1].provider,
        generation=2.0,
        prompt=100,
        completion=120,
        cost=Decimal("0.01"),
        attempts=attempts,
    )


def attempt(tag: str, result: str = "success", first_token: float | None = 0.5, duration: float = 1.0) -> AttemptRow:
    status = 200 if result == "success" else 500
    return AttemptRow(tag, tag, "m", tag, status, result, duration=duration, first_token=first_token)


async def test_rows_come_oldest_first_and_none_from_before(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "t.db")
    await store.open()
    made = [row(number, attempt("a")) for number in range(2_500)]
    await store.ledger.append(made)
    found = await history.rows(store.ledger, 1_000_000.0 + 100)
    await store.aclose()
    assert [one.id for one in found] == [one.id for one in made[100:]]


def test_a_workload_is_what_was_used_in_its_own_time() -> None:
    items = history.items([row(5, attempt("a")), row(3, attempt("a"))])
    assert [(item.at, item.model, item.prompt_tokens, item.completion_tokens) for item in items] == [
        (0.0, "m", 100, 120),
        (2.0, "m", 100, 120),
    ]


def test_endpoints_behave_as_they_did() -> None:
    made = [row(number, attempt("a", "server_fault", None, 0.3), attempt("b")) for number in range(10)]
    made += [row(number, attempt("a", first_token=0.1 * number)) for number in range(10, 40)]
    made += [row(number, attempt("a", "cancelled", None)) for number in range(40, 50)]
    found = history.measured(made)
    assert found["m@a"].error_rate == pytest.approx(10 / 50)
    assert found["m@a"].error_after == 0.3
    assert found["m@a"].ttft.p50 == pytest.approx(2.5, abs=0.2)
    assert found["m@a"].ttft.p95 == pytest.approx(3.8, abs=0.2)
    assert found["m@b"].error_rate == 0
    assert found["m@b"].tokens_per_second == 60
