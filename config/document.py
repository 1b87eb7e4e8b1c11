"""Turns YAML text into plain data, and finds the line of a value again when a fault needs one."""

from __future__ import annotations

import re
from decimal import Decimal

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from config.fault import Finding, KeyPath
from config.memory import dismantle

MAX_DEPTH = 64
MAX_NODES = 2_000_000
"""Values in one file with every alias written out; 20,000 endpoints are about 600,000."""

_PLAIN, _QUOTED, _COLLECTION = "plain", "quoted", "collection"
_WORDS: dict[str, object] = {"": None, "~": None, "null": None, "true": True, "false": False}
# No octal, hexadecimal, underscore or sexagesimal spelling: each reads differently to different people.
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,3})?")
_MERGE = "<<"


class NotYaml(Exception):
    """The text is no single YAML document. Carries the line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _TooMuch(Exception):
    """An alias that contains itself, or aliases that multiply without end."""


class _Tags:
    """Replaces PyYAML's resolver, whose YAML 1.1 rules turn `no` into false and 12:30 into 750."""

    def resolve(self, kind: type[Node], _value: str | None, implicit: tuple[bool, bool]) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _COLLECTION

    def descend_resolver(self, _node: Node | None, _index: object) -> None:
        """Paths play no part."""

    def ascend_resolver(self) -> None:
        """Paths play no part."""


_Loader = type("_Loader", (_Tags, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), {})


def scalar(text: str) -> object:
    """An unquoted scalar: null, true, false, a whole number, a Decimal; anything else is text, dates too."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    return Decimal(text) if _NUMBER.fullmatch(text) else text


class Document:
    """One YAML document: `data` as dicts, tuples and scalars; `findings`: what YAML allows and we do not.

    Raises NotYaml.
    """

    def __init__(self, text: str) -> None:
        self._root = _compose(text)
        self._entries: dict[int, dict[str, tuple[Node, Node]]] = {}
        self._visited = 0
        self.findings: list[Finding] = []
        self.data: object = None
        if self._root is None:
            return
        try:
            self.data = self._plain(self._root, ())
        except _TooMuch as much:
            self.findings.append(Finding((), str(much)))
            self.data = None

    def line(self, path: KeyPath, at_key: bool = False) -> int:
        """From 1: where the value at `path` is written. For a collection, or with `at_key`, where its key is;
        for what is not written at all, where that is missing."""
        key, node = None, self._root
        for part in path:
            found = self._step(node, part)
            if found is None:
                return _line_of(key, node, at_key=True)
            key, node = found
        return _line_of(key, node, at_key)

    def close(self) -> None:
        """Frees a large document without holding up other threads; nothing can be looked up afterwards."""
        nodes = self._root.value if isinstance(self._root, MappingNode) else []
        values = self.data.values() if isinstance(self.data, dict) else ()
        for section in (*(node.value for _, node in nodes), *values):
            if isinstance(section, dict | list):
                dismantle(section)
        self._entries.clear()
        self._root = self.data = None

    def _step(self, node: Node | None, part: str | int) -> tuple[Node | None, Node] | None:
        if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            return None, node.value[part]
        if isinstance(node, MappingNode) and isinstance(part, str):
            return self._entries_of(node).get(part)
        return None

    def _entries_of(self, node: MappingNode) -> dict[str, tuple[Node, Node]]:
        if id(node) not in self._entries:
            entries: dict[str, tuple[Node, Node]] = {}
            for key, value in node.value:
                entries.setdefault(key.value if isinstance(key, ScalarNode) else "", (key, value))
            for merged in _merged(entries):
                entries = self._entries_of(merged) | entries
            self._entries[id(node)] = entries
        return self._entries[id(node)]

    def _plain(self, node: Node, path: KeyPath) -> object:
        self._visited += 1
        if len(path) > MAX_DEPTH:
            raise _TooMuch(f"nested more than {MAX_DEPTH} deep, or an alias that contains itself")
        if self._visited > MAX_NODES:
            raise _TooMuch(f"more than {MAX_NODES:,} values once aliases are written out")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if node.tag != _COLLECTION:
            self._refuse_tag(node, path)
        if isinstance(node, SequenceNode):
            return tuple([self._plain(item, (*path, n)) for n, item in enumerate(node.value)])
        return self._mapping(node, path)

    def _scalar(self, node: ScalarNode, path: KeyPath) -> object:
        if node.tag == _PLAIN:
            return scalar(node.value)
        if node.tag != _QUOTED:
            self._refuse_tag(node, path)
        return node.value

    def _refuse_tag(self, node: Node, path: KeyPath) -> None:
        self.findings.append(Finding(path, f"the tag {node.tag} is not supported; write the plain value"))

    def _mapping(self, node: Node, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        merges: list[tuple[Node, KeyPath]] = []
        for key, value in node.value:
            name = self._key(key, path)
            if name == _MERGE and key.tag == _PLAIN:
                merges.append((value, (*path, _MERGE)))
            elif name in result:
                self._repeated(key, value, (*path, name))
            elif name is not None:
                result[name] = self._plain(value, (*path, name))
        for merged, place in merges:
            result = self._merge(merged, place) | result
        return result

    def _key(self, key: Node, path: KeyPath) -> str | None:
        if isinstance(key, ScalarNode):
            return str(key.value)
        self.findings.append(Finding(path, "a key must be plain text", line=_line_of(None, key)))
        return None

    def _repeated(self, key: Node, value: Node, path: KeyPath) -> None:
        first = self.line(path, at_key=True)
        message = f"repeats the key of line {first}; one of the two must go"
        self.findings.append(Finding(path, message, line=_line_of(None, key)))
        self._plain(value, path)

    def _merge(self, node: Node, path: KeyPath) -> dict[str, object]:
        plain = self._plain(node, path)
        result: dict[str, object] = {}
        for part in plain if isinstance(plain, tuple) else (plain,):
            if isinstance(part, dict):
                result = part | result
            else:
                self.findings.append(Finding(path, "<< merges mappings, and this is none"))
        return result


def _compose(text: str) -> Node | None:
    try:
        node: Node | None = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise NotYaml(line, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise NotYaml(_line_at(text, error), "not valid YAML: a character that YAML does not allow") from None
    return node


def _line_at(text: str, error: yaml.YAMLError) -> int:
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 1


def _merged(entries: dict[str, tuple[Node, Node]]) -> list[MappingNode]:
    if _MERGE not in entries:
        return []
    value = entries[_MERGE][1]
    nodes = value.value if isinstance(value, SequenceNode) else [value]
    return [node for node in nodes if isinstance(node, MappingNode)]


def _line_of(key: Node | None, node: Node | None, at_key: bool = False) -> int:
    empty = isinstance(node, ScalarNode) and node.value == ""
    if key is not None and (at_key or empty or not isinstance(node, ScalarNode)):
        node = key
    return int(node.start_mark.line) + 1 if node is not None else 1
