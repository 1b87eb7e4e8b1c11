"""The ways of ordering endpoints: one small class a strategy, in a registry."""

from router.policy.base import Candidate, Policy
from router.policy.ordered import LATENCY, PRICE, THROUGHPUT
from router.policy.weighted import Weighted

REGISTRY: dict[str, Policy] = {
    "weighted": Weighted(),
    "price": PRICE,
    "latency": LATENCY,
    "throughput": THROUGHPUT,
}
"""`weighted` is the default draw; the others by the name `provider.sort` gives them."""

__all__ = ["REGISTRY", "Candidate", "Policy"]
