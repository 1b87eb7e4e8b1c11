"""Where clients are known to fall short, and why. The tests assert it exactly, both ways."""

from __future__ import annotations

from dataclasses import dataclass

WAYS = ("whole", "stream")
CUT = "cut in the middle"
"""The column of the answer that ends before its end."""


@dataclass(frozen=True)
class Known:
    """Checks that one or more clients miss, and the reason."""

    clients: tuple[str, ...]
    misses: tuple[str, ...]
    reason: str
    ways: tuple[str, ...] = WAYS
    columns: tuple[str, ...] = ()
    """None named: all in which an answer is whole."""
    but: tuple[str, ...] = ()
    """Columns that are all right all the same."""


KNOWN = (
    Known(
        ("openai-node",),
        ("reasoning sent back",),
        "`finalChatCompletion()` keeps only the last delta of a field that it does not know, so a fragment goes back;"
        " its chunks have everything",
        ways=("stream",),
        but=("openrouter, encrypted", "mistral"),
    ),
    Known(
        ("@openrouter/ai-sdk-provider",),
        ("tool calls", "sent back"),
        "hands out, and sends back, parallel calls that arrive interleaved in the order in which they become complete;"
        " each call is exact",
        ways=("stream",),
    ),
    Known(
        ("pydantic-ai OpenAIChatModel", "litellm openrouter/", "litellm openai/", "@ai-sdk/openai-compatible"),
        ("reasoning sent back",),
        "knows no `reasoning_details`, so the text of signed reasoning comes back without its signature",
        columns=("openrouter, signed",),
    ),
    Known(
        ("langchain-openrouter",),
        ("reasoning sent back",),
        "sends an encrypted block back without its id",
        columns=("openrouter, encrypted",),
    ),
    Known(
        ("langchain-openrouter",),
        ("raises",),
        "does not read an error in a stream: the answer ends with the finish reason `error` and no exception",
        ways=("stream",),
        columns=(CUT,),
    ),
)


def known(client: str, column: str, way: str) -> dict[str, int]:
    """What it misses there: each check with the number of its reason, from 1."""
    return {
        check: number
        for number, one in enumerate(KNOWN, 1)
        if client in one.clients and way in one.ways and column not in one.but
        if column in one.columns or (one.columns == () and column != CUT)
        for check in one.misses
    }
