"""The ways of ordering endpoints: one small class a strategy, in a registry."""

from router.policy.balanced import Balanced
from router.policy.base import Candidate, Policy
from router.policy.ordered import LATENCY, PRICE, THROUGHPUT
from router.policy.weighted import Weighted

REGISTRY: dict[str, Policy] = {
    "weighted": Weighted(),
    "balanced": Balanced(),
    "price": PRICE,
    "latency": LATENCY,
    "throughput": THROUGHPUT,
}
"""`weighted` is the default draw, `balanced` the other; the rest by the name `provider.sort` gives them."""

STRATEGIES = {"price": "weighted", "balanced": "balanced"}
"""The draw behind each `routing.strategy` of the file."""

__all__ = ["REGISTRY", "STRATEGIES", "Candidate", "Policy"]
