"""JSON documents as bytes, spelled in every way JSON allows."""

from __future__ import annotations

import re

from hypothesis import strategies as st

SPACE = st.sampled_from(["", "", "", " ", "\n  ", "\t"])
NUMBERS = st.sampled_from(
    ["0", "-0", "1.0", "1", "1e2", "1E+2", "1.10", "123456789012345678901234567890", "-1.5e-7", "0.1000"]
)
PIECES = (
    "a",
    "ü",
    "\u2028",
    "\x85",
    "😀",
    "\\u00fc",
    "\\ud83d\\ude00",
    "\\/",
    "\\n",
    '\\"',
    "\\\\",
    "{",
    "]",
    ",",
    ":",
)
LONE = ("\\ud83d", "\\uDE00", "\\uD83d", "\\uE000", "\ue000", "\\\\ud83d")
"""Halves of surrogate pairs, and what could be taken for them."""


def strings(pieces: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), max_size=4).map(lambda drawn: '"' + "".join(drawn) + '"')


STRINGS = strings(PIECES)
WILD_STRINGS = strings(PIECES + LONE)
SCALARS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["null", "true", "false"]))


def arrays(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.lists(items, max_size=3), SPACE).map(
        lambda drawn: "[" + drawn[1] + ("," + drawn[1]).join(drawn[0]) + drawn[1] + "]"
    )


def objects(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(SPACE, keys, SPACE, values).map(
        lambda drawn: f"{drawn[0]}{drawn[1]}{drawn[2]}:{drawn[2]}{drawn[3]}"
    )
    return st.lists(member, max_size=3).map(lambda members: "{" + ",".join(members) + "}")


VALUES = st.recursive(SCALARS, lambda inner: arrays(inner) | objects(STRINGS, inner), max_leaves=5)
OTHER_KEYS = STRINGS.filter(lambda key: re.fullmatch(r'"[a-z_]+"', key) is None)
"""Keys that are never one of ours."""

WILD = st.recursive(
    st.one_of(NUMBERS, WILD_STRINGS, st.sampled_from(["null", "true", "1e400", "-0.0"])),
    lambda inner: arrays(inner) | objects(WILD_STRINGS, inner),
    max_leaves=4,
)
"""Anything JSON allows that parsers stumble over: halves of pairs, keys twice, numbers no float holds."""
WILD_KEYS = WILD_STRINGS.filter(lambda key: re.fullmatch(r'"[a-z_]+"', key) is None)
