"""Who can be measured, in order; a further peer is a class like the others and its name here."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tests.bench.gateways import Ferrogw, LiteLlm, Portkey, Smg, TensorZero, VllmRouter
from tests.bench.peers import Bare, Direct, Nginx, Peer, PlainTurnout, SharedTurnout, Turnout

REGISTRY: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Direct(),
        Bare(),
        Turnout(),
        PlainTurnout(),
        SharedTurnout(),
        Nginx(),
        TensorZero(),
        Portkey(),
        LiteLlm(),
        VllmRouter(),
        Smg(),
        Ferrogw(),
    )
}
FLOOR = Bare.name
"""What ratios are to."""
OURS = frozenset((Direct.name, Bare.name, Turnout.name, PlainTurnout.name, SharedTurnout.name))
"""A wrong answer of one of these makes the run fail; another gateway's is only told."""


def available(names: Collection[str], tell: Callable[[str], None]) -> tuple[list[Peer], dict[str, str]]:
    """Those of `names` (none: all) that can run here, and why the others cannot. Installs what can be."""
    peers: list[Peer] = []
    absent: dict[str, str] = {}
    for name, peer in REGISTRY.items():
        if names and name not in names:
            continue
        tell(f"preparing {name}")
        if (why := peer.missing()) is None:
            peers.append(peer)
        else:
            absent[name] = why
            tell(f"without {name}: {why}")
    return peers, absent
