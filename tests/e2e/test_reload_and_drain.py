"""Configuration changes and restarts that nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from providers.sandbox import Answer, Hang, Slow
from tests.e2e.harness import CANARY, MODEL, Bench, Offer, Running, configuration, eventually
from tests.e2e.talk import ask, complete, get, request, talk

LONG = Answer(content="station " * 40)


def rewrite(gateway: Running, settings: Any) -> None:
    """Replace the configuration file at once, as editors and deployments do."""
    new = gateway.path.with_suffix(".new")
    new.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings, sort_keys=False))
    new.replace(gateway.path)


def reloads(gateway: Running, result: str) -> float:
    metric = gateway.gateway.metrics.reloads.labels(result)
    return float(metric._value.get())


async def test_fifty_streams_go_on_over_a_hundred_reloads(bench: Bench) -> None:
    box, other = await bench.box(), await bench.box()
    box.answer(LONG)
    box.always(Slow(between=0.01))
    offers = [Offer(box, "first")]
    gateway = await bench.gateway(offers)
    streams = [asyncio.ensure_future(complete(gateway, stream=True)) for _ in range(50)]
    await box.until(lambda: len(box.requests) == 50)
    for number in range(100):
        # Every other one takes the provider away under its streams, and brings it back.
        now = [Offer(other, "other")] if number % 2 else offers
        rewrite(gateway, configuration(now, server={"max_in_flight": 1000 + number}))
        assert await reload_of(gateway, {"FIRST_KEY": CANARY, "OTHER_KEY": CANARY})
    for said in await asyncio.gather(*streams):
        assert said.content == LONG.content
        assert said.broke is None
    assert (await complete(gateway)).json["provider"] == "Other"
    await eventually(lambda: box.open_connections == 0, "connections of a provider that is gone are still open")


async def reload_of(gateway: Running, environ: dict[str, str]) -> bool:
    gateway.gateway.reloader._environ = environ
    return await gateway.gateway.reloader.reload()


@pytest.mark.parametrize(
    "bad", ["providers: [", "", "providers: {}\nmodels: {}\n", "just text", "\x00\x01", "providers:\n  x: {nme: y}\n"]
)
async def test_a_bad_file_leaves_the_old_configuration_serving(
    bench: Bench, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    rewrite(gateway, bad)
    assert not await gateway.gateway.reloader.reload()
    assert reloads(gateway, "failure") == 1
    assert "not reloaded" in caplog.text
    assert (await complete(gateway)).status == 200


async def test_a_file_that_is_gone_leaves_the_old_configuration_serving(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    gateway.path.unlink()
    assert not await gateway.gateway.reloader.reload()
    assert (await complete(gateway)).status == 200


async def test_a_configuration_without_a_provider_that_is_on_is_not_taken_up(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    assert not await reload_of(gateway, {})
    assert (await complete(gateway)).status == 200


@pytest.mark.parametrize("how", ["in place", "renamed", "symlink"])
async def test_a_change_is_noticed_by_itself(
    bench: Bench, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("router.reload.LOOK_EVERY", 0.05)
    box = await bench.box()
    offers = [Offer(box, "only")]
    gateway = await bench.gateway(offers)
    if how == "symlink":
        real = tmp_path / "v1.yaml"
        gateway.path.rename(real)
        gateway.path.symlink_to(real)
    changed = configuration([*offers, Offer(box, "more", model="moonshotai/new")])
    text = yaml.safe_dump(changed, sort_keys=False)
    gateway.gateway.reloader._environ = {"ONLY_KEY": CANARY, "MORE_KEY": CANARY}
    if how == "in place":
        gateway.path.write_text(text)
    elif how == "renamed":
        rewrite(gateway, text)
    else:
        (tmp_path / "v2.yaml").write_text(text)
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "v2.yaml")
        link.replace(gateway.path)
    await eventually(lambda: reloads(gateway, "success") >= 1, "the change was not noticed")
    listing = (await get(gateway, "/v1/models")).json["data"]
    assert [model["id"] for model in listing] == [MODEL, "moonshotai/new"]


async def test_health_outlives_a_reload(bench: Bench) -> None:
    from providers.sandbox import server_error

    bad, good = await bench.box(), await bench.box()
    bad.always(server_error())
    offers = [Offer(bad, "bad"), Offer(good, "good")]
    gateway = await bench.gateway(offers, preferences={"default": {"order": ["bad"]}})
    for _ in range(5):
        assert (await complete(gateway)).status == 200
    rewrite(gateway, configuration(offers, preferences={"default": {"order": ["bad"]}}))
    assert await reload_of(gateway, {"BAD_KEY": CANARY, "GOOD_KEY": CANARY})
    assert (await complete(gateway)).status == 200
    assert len(bad.requests) == 5, "the ejection was forgotten"


async def test_a_drain_lets_streams_finish_and_ends_the_rest_with_an_error(bench: Bench) -> None:
    quick, hanging = await bench.box(), await bench.box()
    quick.answer(LONG)
    quick.always(Slow(between=0.01))
    hanging.answer(LONG)
    hanging.always(Hang(3))
    gateway = await bench.gateway(
        [Offer(quick, "quick"), Offer(hanging, "hanging", model="moonshotai/slow")], server={"drain_seconds": 3.0}
    )
    finishing = asyncio.ensure_future(complete(gateway, stream=True))
    stuck = asyncio.ensure_future(complete(gateway, stream=True, model="moonshotai/slow"))
    async with talk(gateway) as waiting:
        await hanging.until(lambda: len(hanging.requests) == 1)
        hanging.always(Hang())
        await quick.until(lambda: len(quick.requests) == 1)
        await waiting.send(request(ask() | {"model": "moonshotai/slow"}))
        await hanging.until(lambda: len(hanging.requests) == 2)
        gateway.server.should_exit = True
        refused = await waiting.said()
    assert (await finishing).content == LONG.content
    said = await stuck
    assert said.broke is not None
    assert said.broke["code"] == 503
    assert "shutting down" in said.broke["message"]
    assert said.events[-1] == "[DONE]"
    assert refused.status == 503
    (endpoint,) = gateway.gateway.core.setup.catalogue.models["moonshotai/slow"].endpoints
    assert gateway.gateway.health.facts(endpoint).failures == 0


async def test_the_process_says_where_it_serves_drains_on_sigterm_and_exits_with_0(
    bench: Bench, tmp_path: Path
) -> None:
    box = await bench.box()
    box.answer(LONG)
    box.always(Slow(between=0.01))
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(configuration([Offer(box, "only")], server={"port": 0})))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", "serve", "--config", str(path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "ONLY_KEY": CANARY},
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    while not lines or "endpoints" not in lines[-1]:
        lines.append((await process.stdout.readline()).decode())
    banner = "".join(lines)
    assert "only" in banner
    port = int(banner.split("http://127.0.0.1:")[1].split("/")[0])
    served = Running(None, port, path, None)  # type: ignore[arg-type]
    stream = asyncio.ensure_future(complete(served, stream=True))
    await box.until(lambda: len(box.requests) == 1)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    said = await stream
    assert said.content == LONG.content
    out, err = await process.communicate()
    assert process.returncode == 0, err
    (line,) = [line for line in err.splitlines() if b'"message":"request"' in line]
    assert said.headers["x-generation-id"].encode() in line, "the log's line of the last request is lost"
    assert CANARY.encode() not in out + err
    assert b"Traceback" not in err


async def serve_exits(arguments: list[str], environ: dict[str, str], cwd: Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", *arguments, cwd=cwd,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **environ},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, (out + err).decode()


async def test_serve_lists_every_fault_and_exits_with_2(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("providers:\n  a: {dialct: openai}\nmodels: {}\nservr: {}\n")
    code, said = await serve_exits(["serve", "--config", str(path)], {}, tmp_path)
    assert code == 2
    assert f"{path}:2: providers.a.dialct" in said
    assert f"{path}:4: servr" in said
    assert "server" in said


async def test_serve_refuses_to_start_without_a_provider_that_is_on(tmp_path: Path) -> None:
    code, said = await serve_exits(["serve"], {}, tmp_path)
    assert code == 2
    assert "MOONSHOT_API_KEY is not set" in said


async def test_serve_refuses_open_mode_beyond_loopback(tmp_path: Path) -> None:
    code, said = await serve_exits(["serve", "--host", "0.0.0.0"], {"MOONSHOT_API_KEY": CANARY}, tmp_path)
    assert code == 2
    assert "loopback" in said


async def test_check_exits_with_1_and_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("providers:\n  a: {dialect: moonshto, base_url: http://x/v1, auth: none}\nmodels: {}\n")
    code, said = await serve_exits(["check", "--config", str(path)], {}, tmp_path)
    assert code == 1
    assert "moonshot" in said
    code, said = await serve_exits(["check"], {}, tmp_path)
    assert code == 0
    assert "off, MOONSHOT_API_KEY is not set" in said


async def test_models_prints_the_catalogue(tmp_path: Path) -> None:
    code, said = await serve_exits(["models"], {"COLUMNS": "200"}, tmp_path)
    assert code == 0
    assert "moonshotai/kimi-k2-thinking" in said
    assert "262,144" in said
