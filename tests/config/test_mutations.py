"""Every single slip in a full configuration is refused, at its line, naming what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

FULL = Path(__file__).with_name("full.yaml").read_text()
LINES = FULL.splitlines()
KEY = re.compile(r"^(?P<indent> *(?:- )?)(?P<key>[a-z_0-9]+):(?P<value>.*)$")
# Names that the operator chooses: another spelling is another name, not a slip.
CHOSEN = {"moonshot", "local"}
KEYS = [number for number, line in enumerate(LINES) if (m := KEY.match(line)) and m["key"] not in CHOSEN]
IDS = [f"{number + 1}-{LINES[number].strip().removeprefix('- ').split(':')[0]}" for number in KEYS]
Faults = Callable[..., list[str]]


def parts(number: int) -> tuple[str, str, str]:
    match = KEY.match(LINES[number])
    assert match
    return match["indent"], match["key"], match["value"]


def replaced(number: int, line: str, keep_block: bool = True) -> str:
    """The file with one line replaced, and what belongs below it kept or dropped."""
    end = number + 1
    depth = len(LINES[number]) - len(LINES[number].lstrip(" -"))
    while not keep_block and end < len(LINES) and len(LINES[end]) - len(LINES[end].lstrip(" -")) > depth:
        end += 1
    return "\n".join([*LINES[:number], line, *LINES[end:]]) + "\n"


def test_the_full_configuration_itself_is_sound(faults: Faults) -> None:
    assert faults(FULL) == []


@pytest.mark.parametrize("number", KEYS, ids=IDS)
@pytest.mark.parametrize("slip", [lambda key: key + key[-1], str.upper, lambda key: key[1:] + key[0]])
def test_a_misspelt_key_is_named_with_the_right_one(number: int, slip: Callable[[str], str], faults: Faults) -> None:
    indent, key, value = parts(number)
    wrong = slip(key)
    found = faults(replaced(number, f"{indent}{wrong}:{value}"))
    pattern = rf"{number + 1}: (?:\S.*\.|){re.escape(wrong)}: unknown key"
    (fault,) = [fault for fault in found if re.match(pattern, fault)]
    meant = key in fault.split("unknown key")[1]
    # Short words turned inside out look like nothing in particular; then all valid keys are listed.
    assert meant, fault


@pytest.mark.parametrize("number", KEYS, ids=IDS)
def test_an_extra_key_beside_any_other_is_refused(number: int, faults: Faults) -> None:
    indent, _, _ = parts(number)
    text = "\n".join([*LINES[:number], f"{indent}zzz: 1", indent.replace("-", " ") + LINES[number].lstrip(" -")])
    text += "\n" + "\n".join(LINES[number + 1 :]) + "\n"
    found = [fault for fault in faults(text) if re.match(rf"{number + 1}: (?:\S.*\.|)zzz: unknown key", fault)]
    assert len(found) == 1


@pytest.mark.parametrize("number", KEYS, ids=IDS)
@pytest.mark.parametrize("value", ["[[]]", "{no_such_key: 1}"])
def test_a_value_of_the_wrong_kind_is_refused(number: int, value: str, faults: Faults) -> None:
    indent, key, _ = parts(number)
    found = faults(replaced(number, f"{indent}{key}: {value}", keep_block=False))
    if key in ("headers", "models", "benchmarks") and value.startswith("{"):
        return  # a mapping of free names is what they are
    assert [fault for fault in found if re.match(rf"{number + 1}: (?:\S.*\.|){key}\b", fault)], found


@pytest.mark.parametrize("number", KEYS, ids=IDS)
def test_a_key_given_twice_is_refused(number: int, faults: Faults) -> None:
    indent, key, _ = parts(number)
    again = indent.replace("-", " ") + f"{key}: null"
    end = number + 1
    depth = len(indent)
    while end < len(LINES) and len(LINES[end]) - len(LINES[end].lstrip(" -")) > depth:
        end += 1
    text = "\n".join([*LINES[:end], again, *LINES[end:]]) + "\n"
    expected = rf"{end + 1}: (?:\S.*\.|){key}: repeats the key of line {number + 1};"
    assert [fault for fault in faults(text) if re.match(expected, fault)]


@pytest.mark.parametrize(
    "number", [n for n in KEYS if re.fullmatch(r" (?:[0-9]+|[0-9]+\.[0-9]+|true|false)", parts(n)[2])]
)
def test_booleans_and_numbers_are_never_taken_for_each_other(number: int, faults: Faults) -> None:
    indent, key, value = parts(number)
    wrong = "1" if value in (" true", " false") else "true"
    found = faults(replaced(number, f"{indent}{key}: {wrong}"))
    assert [fault for fault in found if fault.startswith(f"{number + 1}: ") and ": must be " in fault]


def test_many_slips_are_all_reported_at_once(faults: Faults) -> None:
    text = FULL
    slips = {
        "  port: 8080": ("  prot: 8080", "unknown key"),
        "  drain_seconds: 30": ("  drain_seconds: soon", "must be a number"),
        "  strategy: price": ("  strategy: prices", 'did you mean "price"'),
        "    dialect: openai": ("    dialect: open-ai", 'did you mean "openai"'),
        "    fallbacks: [moonshotai/kimi-k2]": (
            "    fallbacks: [moonshotai/kimi-k3]",
            'did you mean "moonshotai/kimi-k2"',
        ),
        '          prompt: "0.60"': ('          prompt: "-0.60"', "must not be negative"),
        "      - provider: local": ("      - provider: locale", 'did you mean "local"'),
        "      only: [moonshot, Local]": ("      only: [moonshoot, Local]", 'did you mean "moonshot"'),
    }
    for right, (wrong, _) in slips.items():
        assert f"{right}\n" in text
        text = text.replace(f"{right}\n", f"{wrong}\n")
    found = faults(text)
    for right, (_, message) in slips.items():
        line = LINES.index(right) + 1
        assert [fault for fault in found if fault.startswith(f"{line}: ") and message in fault], (right, found)
    assert len(found) == len(slips)
    assert found == sorted(found, key=lambda fault: int(fault.split(":")[0]))
