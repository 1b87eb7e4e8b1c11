"""JSON documents as bytes, spelled in every way JSON allows."""

from __future__ import annotations

import re

from hypothesis import strategies as st

SPACE = st.sampled_from(["", "", "", " ", "\n  ", "\t"])
NUMBERS = st.sampled_from(
    ["0", "-0", "1.0", "1", "1e2", "1E+2", "1.10", "123456789012345678901234567890", "-1.5e-7", "0.1000"]
)
PIECES = st.sampled_from(
    ["a", "ü", "\u2028", "\x85", "😀", "\\u00fc", "\\ud83d\\ude00", "\\/", "\\n", '\\"', "\\\\", "{", "]", ",", ":"]
)
STRINGS = st.lists(PIECES, max_size=4).map(lambda pieces: '"' + "".join(pieces) + '"')
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
