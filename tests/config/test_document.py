"""YAML text becomes plain data: no scalar changes its meaning, nothing is read twice or silently dropped."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.document import MAX_DEPTH, Document, NotYaml, scalar
from config.fault import KeyPath


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("8080", 8080),
        ("-1", -1),
        ("+1", 1),
        ("0.1", Decimal("0.1")),
        (".5", Decimal("0.5")),
        ("2.50", Decimal("2.50")),
        ("1e3", Decimal("1e3")),
        ("-1.5E-3", Decimal("-0.0015")),
        ('"8080"', "8080"),
        ("'true'", "true"),
        ("2025-11-06", "2025-11-06"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("True", "True"),
        ("NULL", "NULL"),
        ("012", "012"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e", "1e"),
        (".", "."),
        ("-", None),
        ("memory", "memory"),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says_and_nothing_cleverer(written: str, value: object) -> None:
    if written == "-":
        assert scalar("-") == "-"
        return
    read = Document(f"key: {written}\n").data
    assert read == {"key": value}
    assert type(read["key"]) is type(value)


@given(st.text(max_size=30))
def test_any_plain_scalar_is_read_without_an_error(text: str) -> None:
    assert isinstance(scalar(text), str | int | Decimal | bool | None)


@given(st.decimals(min_value=0, max_value=10**6, allow_nan=False, places=6))
def test_a_number_keeps_every_digit(number: Decimal) -> None:
    assert Document(f"price: {number:f}").data == {"price": number}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
        max_leaves=12,
    )
)
def test_what_yaml_writes_is_read_back_the_same(value: object) -> None:
    def with_tuples(node: object) -> object:
        if isinstance(node, list):
            return tuple(map(with_tuples, node))
        return {key: with_tuples(item) for key, item in node.items()} if isinstance(node, dict) else node

    # Merge keys are resolved on reading, which is their purpose.
    if "<<" not in repr(value):
        document = Document(yaml.safe_dump({"value": value}))
        assert document.data == {"value": with_tuples(value)}
        assert document.findings == []


def test_a_repeated_key_is_found_with_both_its_lines() -> None:
    document = Document("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n")
    (finding,) = document.findings
    assert finding.path == ("b", "c")
    assert finding.line == 5
    assert finding.message == "repeats the key of line 3; one of the two must go"


def test_keys_are_text_whatever_they_look_like() -> None:
    assert Document("1: a\ntrue: b\n2025-11-06: c\n").data == {"1": "a", "true": "b", "2025-11-06": "c"}


def test_a_key_that_is_no_text_is_refused() -> None:
    (finding,) = Document("a: 1\n? [x, y]\n: 2\n").findings
    assert (finding.line, finding.message) == (2, "a key must be plain text")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!str", "!mine"])
def test_a_tag_is_refused(tag: str) -> None:
    document = Document(f"a:\n  b: {tag} x\n")
    (finding,) = document.findings
    assert finding.path == ("a", "b")
    assert document.line(finding.path) == 2


def test_anchors_and_merge_keys_work_and_what_is_written_wins() -> None:
    text = "a: &base {x: 1, y: 2}\nb:\n  <<: *base\n  y: 3\nc: *base\nd:\n  <<: [*base, {z: 4, x: 5}]\n"
    document = Document(text)
    assert document.findings == []
    assert document.data == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 2},
        "d": {"x": 1, "y": 2, "z": 4},
    }
    assert document.line(("b", "y")) == 4
    assert document.line(("b", "x")) == 1


def test_a_merge_of_something_else_is_refused() -> None:
    (finding,) = Document("a:\n  <<: 7\n").findings
    assert finding.path == ("a", "<<")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a, *a]",
        "a: &a {b: *a}",
        "a: &a\n  <<: *a\n",
        "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}' if n else 'x'] * 9)}]\n" for n in range(12)),
    ],
    ids=["twice itself", "itself", "merges itself", "billion laughs"],
)
def test_aliases_without_end_are_a_finding(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.document.MAX_NODES", 10_000)
    document = Document(text)
    (finding,) = document.findings
    assert re.search("alias", finding.message)
    assert document.data is None


def test_deep_nesting_is_refused_not_a_crash() -> None:
    (finding,) = Document("[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5)).findings
    assert "nested" in finding.message
    with pytest.raises(NotYaml):
        Document("[" * 100_000)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3),
        ("a: 1\n\tb: 2\n", 2),
        ("a: b: c\n", 1),
        ("a: *nowhere\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: 'open\n", 2),
        ("a: 1\nb: \x01\n", 2),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(NotYaml) as caught:
        Document(text)
    assert caught.value.line == line
    assert str(caught.value).startswith("not valid YAML: ")


def test_the_pure_python_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from config import document

    text = "a: &x {b: [1, no, 0.1], c: '2'}\nd: *x\n? e\n: \n"
    fast = Document(text).data
    monkeypatch.setattr(document, "_Loader", type("_Loader", (document._Tags, yaml.SafeLoader), {}))
    assert Document(text).data == fast
    with pytest.raises(NotYaml) as caught:
        Document("a: 1\nb: \x01\n")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("path", "at_key", "line"),
    [
        ((), False, 1),
        (("server",), False, 1),
        (("server", "port"), False, 3),
        (("server", "host"), False, 2),
        (("server", "host"), True, 2),
        (("server", "missing"), False, 1),
        (("server", "missing", "deeper"), False, 1),
        (("list",), False, 4),
        (("list", 1), False, 6),
        (("list", 1, "x"), False, 6),
        (("list", 9), False, 4),
        (("long",), False, 8),
        (("long",), True, 7),
        (("empty",), False, 9),
        (("absent",), False, 1),
    ],
)
def test_lines_point_at_the_value_or_at_where_it_is_missing(path: KeyPath, at_key: bool, line: int) -> None:
    text = "server:\n  host: a\n  port: 1\nlist:\n  - 1\n  - x: 2\nlong:\n  text\nempty:\n\n\nlast: 1\n"
    assert Document(text).line(path, at_key) == line
