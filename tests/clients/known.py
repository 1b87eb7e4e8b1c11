"""Where clients are known to fall short, and why. The tests assert it exactly, both ways."""

from __future__ import annotations

from dataclasses import dataclass

WAYS = ("whole", "stream")
CUT = "cut in the middle"
"""The column of the answer that ends before its end."""


@dataclass(frozen=True)
class Source:
    """A line of an installed client that shows why."""

    client: str
    path: str
    """Below `site-packages` or `node_modules`."""
    line: int
    says: str
    """A part of it: a test looks it up."""


@dataclass(frozen=True)
class Known:
    """Checks that the clients of the sources miss, and the reason."""

    misses: tuple[str, ...]
    reason: str
    sources: tuple[Source, ...]
    ways: tuple[str, ...] = WAYS
    columns: tuple[str, ...] = ()
    """None named: all in which an answer is whole."""

    def covers(self, client: str, column: str, way: str) -> bool:
        """Whether it is about this cell."""
        there = column in self.columns if self.columns else column != CUT
        return there and way in self.ways and client in {source.client for source in self.sources}


KNOWN = (
    Known(
        ("tool calls", "sent back"),
        "hands out, and sends back, parallel calls that arrive interleaved in the order in which they become complete;"
        " each call is exact",
        (
            Source(
                "@openrouter/ai-sdk-provider",
                "@openrouter/ai-sdk-provider/dist/index.mjs",
                4139,
                "isParsableJson(toolCall.function.arguments)",
            ),
        ),
        ways=("stream",),
    ),
    Known(
        ("reasoning sent back",),
        "takes the id off an encrypted block of OpenAI's that it sends back, and means to (`rs_…` is not kept there)",
        (
            Source(
                "langchain-openrouter",
                "langchain_openrouter/chat_models.py",
                1205,
                'if not (key == "id" and isinstance(item, str) and item.startswith("rs_"))',
            ),
        ),
        columns=("openrouter, encrypted",),
    ),
    Known(
        ("raises",),
        "does not read the error of a chunk that also has a choice, as OpenRouter's have: the answer ends with the"
        " finish reason `error` and no exception",
        (
            Source(
                "langchain-openrouter",
                "langchain_openrouter/chat_models.py",
                702,
                'if not chunk_dict.get("choices"):',
            ),
        ),
        ways=("stream",),
        columns=(CUT,),
    ),
)


def known(client: str, column: str, way: str) -> dict[str, int]:
    """What it misses there: each check with the number of its reason, from 1."""
    return {
        check: number for number, one in enumerate(KNOWN, 1) if one.covers(client, column, way) for check in one.misses
    }
