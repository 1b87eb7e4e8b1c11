"""How the endpoints of a simulation behave: speed, failures and outages, as measured or as supposed.

A file, YAML or JSON, names endpoints by tag, by `model id@tag`, or all others by `default`:

    default: {error_rate: 0.01, ttft: {p50: 0.6, p95: 2.0}, tokens_per_second: 60}
    moonshot/int4: {tokens_per_second: 90, outages: [[3600, 5400]]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from random import Random

import msgspec

from router.catalogue import Catalogue, Endpoint

P95 = 1.645
"""Standard deviations from the median to the 95th percentile."""
DEFAULT = "default"


class Wait(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds to the first token: half of requests wait no longer than p50, one of twenty longer than p95."""

    p50: float = 0.6
    p95: float = 2.0


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One endpoint. Seconds and tokens; outages from and to a time of the workload, in which every attempt fails."""

    error_rate: float = 0.0
    ttft: Wait = Wait()
    tokens_per_second: float = 60.0
    outages: tuple[tuple[float, float], ...] = ()
    error_after: float = 0.2
    """How long a failing attempt takes."""

    def fails(self, now: float, rng: Random) -> bool:
        drawn = rng.random() < self.error_rate
        return drawn or any(start <= now < end for start, end in self.outages)

    def wait(self, rng: Random) -> float:
        """Seconds to the first token: log-normal."""
        spread = math.log(self.ttft.p95 / self.ttft.p50) / P95
        return self.ttft.p50 * math.exp(spread * rng.gauss(0, 1))


class BehaviourError(ValueError):
    """The file cannot be used; the message says where and why."""


class Behaviours:
    """By endpoint; one that is not named behaves as `default`."""

    def __init__(self, named: Mapping[str, Behaviour] | None = None) -> None:
        self._named = dict(named or {})
        self._default = self._named.get(DEFAULT, Behaviour())

    def of(self, endpoint: Endpoint) -> Behaviour:
        exact = self._named.get(f"{endpoint.model_id}@{endpoint.tag}")
        return exact or self._named.get(endpoint.tag) or self._default

    def unknown(self, catalogue: Catalogue) -> list[str]:
        """Names that no endpoint has."""
        endpoints = [endpoint for model in catalogue.models.values() for endpoint in model.endpoints]
        known = {DEFAULT, *(one.tag for one in endpoints), *(f"{one.model_id}@{one.tag}" for one in endpoints)}
        return sorted(set(self._named) - known)


def read(path: Path) -> Behaviours:
    """Raises BehaviourError."""
    try:
        named = msgspec.yaml.decode(path.read_bytes(), type=dict[str, Behaviour])
    except OSError as error:
        raise BehaviourError(f"{path}: {error.strerror or error}") from None
    except (ValueError, UnicodeError) as error:
        raise BehaviourError(f"{path}: {error}") from None
    for name, behaviour in named.items():
        if not _possible(behaviour):
            raise BehaviourError(
                f"{path}: {name}: error_rate must be 0 to 1, 0 < ttft.p50 <= ttft.p95, tokens_per_second above 0"
            )
    return Behaviours(named)


def _possible(behaviour: Behaviour) -> bool:
    wait = behaviour.ttft
    return 0 <= behaviour.error_rate <= 1 and 0 < wait.p50 <= wait.p95 and behaviour.tokens_per_second > 0
