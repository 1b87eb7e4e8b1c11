"""`turnout simulate`: what a workload would have cost, and how it would have gone, under other rules."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from config.load import Loaded
from config.preferences import Preferences
from router import catalogue
from router.cli.explain import PLAIN_WIDTH
from router.cli.options import Span, load_or_exit
from router.cli.store import with_store
from router.errors import ApiError
from router.simulation import behaviour, history, workload
from router.simulation.behaviour import BehaviourError, Behaviours
from router.simulation.report import Report, Waits
from router.simulation.run import Case, run
from router.simulation.workload import Item, WorkloadError
from router.state.base import Store
from router.state.values import Row


@dataclass(frozen=True, slots=True)
class Load:
    """Where the requests come from."""

    requests: str | None
    synthetic: int
    models: tuple[str, ...]
    rate: float
    seed: int


@click.command()
@click.option("--config", "configs", metavar="FILE", multiple=True, help="Give it twice to compare two files.")
@click.option("--provider", "providers", metavar="JSON", multiple=True, help="A `provider` object all requests bring.")
@click.option("--requests", metavar="FILE", help="A JSON object a line: model, prompt_tokens, completion_tokens, …")
@click.option("--ledger", type=Span(), metavar="SPAN", help="What this gateway served lately: 24h, 7d, as it went.")
@click.option(
    "--synthetic", default=10_000, show_default=True, type=click.IntRange(1, 10_000_000), help="Made-up requests."
)
@click.option("--model", "models", multiple=True, help="Of made-up requests. Default: the first of the file.")
@click.option("--rate", default=10.0, show_default=True, type=click.FloatRange(1e-6), help="Requests a second.")
@click.option("--endpoints", metavar="FILE", help="How endpoints behave: error_rate, ttft, tokens_per_second, outages.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same result.")
@click.option("--assume-keys", is_flag=True, help="Take every provider as on, whether its key is set or not.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def simulate(
    configs: tuple[str, ...],
    providers: tuple[str, ...],
    requests: str | None,
    ledger: float | None,
    synthetic: int,
    models: tuple[str, ...],
    rate: float,
    endpoints: str | None,
    seed: int,
    assume_keys: bool,
    as_json: bool,
) -> None:
    """Replay requests against one or two sets of rules, by the code that routes real ones, on a simulated clock.

    One --provider is compared with the file as it is, two with each other; so are two --config files. With --ledger
    the requests are those of the ledger, and endpoints behave as they did in them.
    """
    try:
        cases = _cases(configs, providers, assume_keys)
        past = None if ledger is None else _past(configs, ledger)
        if past is not None:
            items = _still_offered(history.items(past), cases)
        else:
            items = _items(Load(requests, synthetic, models, rate, seed), cases[0])
        if past is not None and endpoints is None:
            behaviours = Behaviours(history.measured(past))
        else:
            behaviours = _behaviours(endpoints, cases)
        reports = _run(cases, items, behaviours, seed)
    except (WorkloadError, BehaviourError) as error:
        _refuse(str(error))
    except ApiError as error:
        _refuse(error.message)
    if as_json:
        click.echo(json.dumps({"seed": seed, "cases": [report.value() for report in reports]}, indent=2))
    else:
        _print(reports)


def _refuse(message: str) -> NoReturn:
    click.echo(f"turnout simulate: {message}", err=True)
    sys.exit(1)


# --- what is compared ---------------------------------------------------------------------------------


def _cases(configs: Sequence[str], providers: Sequence[str], assume_keys: bool) -> list[Case]:
    if len(configs) > 2 or len(providers) > 2:
        raise WorkloadError("two cases at most can be compared: give --config and --provider at most twice each")
    files = [_loaded(config, assume_keys) for config in configs or (None,)]
    objects: list[str | None] = list(providers)
    if len(files) == 2:
        objects = objects * 2 if len(objects) < 2 else objects
        objects = objects or [None, None]
    elif len(objects) < 2:
        objects = [None, *objects]
    files = files * len(objects) if len(files) == 1 else files
    return [_case(loaded, text) for loaded, text in zip(files, objects, strict=True)]


def _loaded(config: str | None, assume_keys: bool) -> Loaded:
    loaded = load_or_exit(config, 2)
    return replace(loaded, provider_keys=dict.fromkeys(loaded.provider_keys)) if assume_keys else loaded


def _case(loaded: Loaded, text: str | None) -> Case:
    name = loaded.path.name if text is None else f"{loaded.path.name} {text}"
    return Case(name, loaded.settings, catalogue.build(loaded), Preferences() if text is None else _preferences(text))


def _preferences(text: str) -> Preferences:
    try:
        found, unknown = Preferences.from_request(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise WorkloadError(f"--provider: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, AttributeError, TypeError):
        raise WorkloadError(f"--provider is not a JSON object: {text}") from None
    if unknown:
        raise WorkloadError(f"--provider: unknown: {', '.join(unknown)}")
    return found


def _items(load: Load, case: Case) -> list[Item]:
    if load.requests is not None:
        return workload.read(Path(load.requests), load.rate)
    models = load.models or tuple(case.catalogue.models)[:1]
    return workload.synthetic(models, load.synthetic, load.rate, load.seed)


def _past(configs: Sequence[str], span: float) -> list[Row]:
    loaded = load_or_exit(configs[0] if configs else None, 2)

    async def read(store: Store) -> list[Row]:
        return await history.rows(store.ledger, time.time() - span)

    found = with_store(loaded, read)
    if not found:
        raise WorkloadError("the ledger holds no request of that time")
    return found


def _still_offered(items: list[Item], cases: Sequence[Case]) -> list[Item]:
    """Those whose model every configuration has."""
    kept = [item for item in items if all(case.catalogue.resolve(item.model) for case in cases)]
    if not kept:
        raise WorkloadError("no model of the ledger's requests is in the configuration")
    if len(kept) < len(items):
        click.echo(f"{len(items) - len(kept)} requests for models that are not configured are left out.", err=True)
    return kept


def _behaviours(file: str | None, cases: Sequence[Case]) -> Behaviours:
    if file is None:
        return Behaviours()
    found = behaviour.read(Path(file))
    unknown = set(found.unknown(cases[0].catalogue)).intersection(*(found.unknown(case.catalogue) for case in cases))
    if unknown:
        raise BehaviourError(f"{file}: no endpoint is called {', '.join(sorted(unknown))}; see `turnout models`")
    return found


def _run(cases: Sequence[Case], items: Sequence[Item], behaviours: Behaviours, seed: int) -> list[Report]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        return [run(case, items, behaviours, seed, _bar(progress, case, len(items))) for case in cases]


def _bar(progress: Progress, case: Case, total: int) -> Callable[[int], None]:
    task = progress.add_task(case.name, total=total)
    return lambda served: progress.advance(task, served)


# --- for people ---------------------------------------------------------------------------------------


def _print(reports: Sequence[Report]) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for report in reports:
        table.add_column(report.name, justify="right", overflow="fold")
    for heading, cells in _rows(reports):
        table.add_row(heading, *cells)
    console.print(table)


def _rows(reports: Sequence[Report]) -> list[tuple[str, list[str]]]:
    slugs = dict.fromkeys(slug for report in reports for slug in report.shares)
    rows = [
        ("Requests", [f"{report.requests:,}" for report in reports]),
        ("Answered", [f"{report.success:.3%}" for report in reports]),
        ("Saved by fallback", [f"{report.saved:,}" for report in reports]),
        ("Cost, USD", [f"{report.cost:,.4f}" for report in reports]),
        ("First token, p50 / p95", [_seconds(report.first_token) for report in reports]),
        ("Whole answer, p50 / p95", [_seconds(report.duration) for report in reports]),
    ]
    return rows + [
        (f"Share of {slug}", [f"{report.shares.get(slug, 0.0):.1%}" for report in reports]) for slug in slugs
    ]


def _seconds(waits: Waits | None) -> str:
    return "–" if waits is None else f"{waits.p50:.2f} / {waits.p95:.2f} s"
