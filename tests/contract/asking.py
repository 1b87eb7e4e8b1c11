"""What a request learns of a store: what its process knows, else what others do."""

from __future__ import annotations

from router.state.base import Store


async def remembered(store: Store, conversation: str) -> str | None:
    """Who served a conversation last."""
    known = store.sticky.known(conversation)
    asked = None if known is not None else store.sticky.ask(conversation)
    return known if asked is None else await asked


async def recalled(store: Store, owner: str, call: str) -> str | None:
    """The reasoning of a call."""
    known = store.reasoning.known(owner, call)
    asked = None if known is not None else store.reasoning.ask(owner, [call])
    return known if asked is None else (await asked)[0]
