"""The rules across objects: each violation is one fault, at its line, and no sound file has one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from config.check import is_loopback
from config.redis_address import FORMS

Faults = Callable[..., list[str]]

BASE = """\
providers:
  alpha: {name: Alpha AI, dialect: openai, base_url: "https://alpha.example/v1", auth: none}
  beta: {dialect: openai, base_url: "https://beta.example/v1", auth: none}
models:
  author/one:
    context_length: 1000
    aliases: [one]
    canonical_slug: author/one-2025
    endpoints:
      - {provider: alpha, model: one, price: {prompt: 1, completion: 1}}
      - {provider: beta, model: one, variant: int4, price: {prompt: 1, completion: 1}}
  two:
    context_length: 1000
    endpoints:
      - {provider: beta, model: two, price: {prompt: 1, completion: 1}}
  three:
    context_length: 1000
    endpoints:
      - {provider: beta, model: three, price: {prompt: 1, completion: 1}}
"""
LAST = BASE.count("\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "name: Alpha AI, dialect: openai",
            "name: Alpha AI, dialect: openai, profile: groc",
            ['2: providers.alpha.profile: unknown profile "groc"; did you mean "groq"?'],
        ),
        (
            "name: Alpha AI, dialect: openai",
            "name: Alpha AI, dialect: moonshot, profile: groq",
            [
                "2: providers.alpha.profile: dialect moonshot takes only moonshot; groq needs dialect: openai",
            ],
        ),
        (
            "name: Alpha AI, dialect: openai",
            "name: Alpha AI, dialect: cometapi, profile: vllm",
            [
                "2: providers.alpha.profile: dialect cometapi takes only cometapi or oneapi or newapi; "
                "vllm needs dialect: openai",
            ],
        ),
        ("aliases: [one]", "aliases: [two]", ['7: models.author/one.aliases[0]: "two" already names the model two']),
        (
            "aliases: [one]",
            "aliases: [one, one]",
            ['7: models.author/one.aliases[1]: "one" already names the model author/one'],
        ),
        (
            "aliases: [one]",
            "aliases: [author/one]",
            ['7: models.author/one.aliases[0]: "author/one" already names the model author/one'],
        ),
        (
            "aliases: [one]",
            "aliases: [author/one-2025]",
            ['7: models.author/one.aliases[0]: "author/one-2025" already names the model author/one'],
        ),
        (
            "canonical_slug: author/one-2025",
            "canonical_slug: three",
            ['8: models.author/one.canonical_slug: "three" already names the model three'],
        ),
        (
            "aliases: [one]",
            'aliases: ["one:nitro"]',
            [
                "7: models.author/one.aliases[0]: a model's name cannot end in :nitro or :floor: "
                "that asks for an order of providers"
            ],
        ),
        (
            "aliases: [one]",
            'aliases: ["one two"]',
            [
                "7: models.author/one.aliases[0]: a model's name holds only letters, digits and . _ + @ : - "
                "with single slashes between"
            ],
        ),
        (
            "provider: alpha, model: one",
            "provider: alpa, model: one",
            ['10: models.author/one.endpoints[0].provider: no provider "alpa" is defined; did you mean "alpha"?'],
        ),
        (
            "provider: beta, model: one, variant: int4",
            "provider: alpha, model: one",
            ["11: models.author/one.endpoints[1].provider: a second endpoint alpha; give it a variant of its own"],
        ),
        (
            "aliases: [one]",
            "fallbacks: [too]",
            ['7: models.author/one.fallbacks[0]: no model "too" is defined; did you mean "two"?'],
        ),
        (
            "aliases: [one]",
            "fallbacks: [author/one]",
            ["7: models.author/one.fallbacks[0]: a model cannot fall back to itself"],
        ),
        (
            "aliases: [one]",
            "fallbacks: [two, two]",
            ['7: models.author/one.fallbacks[1]: "two" is listed twice'],
        ),
        (
            "  two:\n",
            "  two:\n    fallbacks: [one]\n",
            ['13: models.two.fallbacks[0]: "one" is an alias; write "author/one"'],
        ),
        ("beta: {", "Beta: {", None),
        (
            "aliases: [one]",
            "endpoints_: []",
            ['7: models.author/one.endpoints_: unknown key; did you mean "endpoints"?'],
        ),
    ],
)
def test_a_name_that_leads_nowhere_or_to_two_places_is_refused(
    old: str, new: str, expected: list[str] | None, faults: Faults
) -> None:
    assert BASE.count(old) == 1
    found = faults(BASE.replace(old, new))
    if expected is None:
        assert found[0].startswith("3: providers.Beta: a provider's slug begins with")
        assert len(found) == 4  # and the three endpoints that mean beta
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            "preferences: {default: {order: [alfa]}}",
            ['preferences.default.order[0]: no provider or endpoint "alfa" is defined; did you mean "alpha"?'],
        ),
        (
            "preferences: {default: {only: [beta/int8]}}",
            ['preferences.default.only[0]: no provider or endpoint "beta/int8" is defined; did you mean "beta/int4"?'],
        ),
        (
            'preferences: {models: {"two": {ignore: [Gamma]}}}',
            [
                'preferences.models.two.ignore[0]: no provider or endpoint "Gamma" is defined; '
                "valid: Alpha AI, alpha, beta, beta/int4"
            ],
        ),
        ("preferences: {default: {order: [alpha, beta/int4, Alpha AI]}}", []),
        (
            'preferences: {models: {"autor/*": {sort: price}}}',
            ['preferences.models.autor/*: no model matches "autor/*"; did you mean "author/one"?'],
        ),
        (
            "auth: {keys: [{name: a, key_env: A, models: [fo*]}]}",
            ['auth.keys[0].models[0]: no model matches "fo*"; valid: author/one, two, three'],
        ),
        (
            "server: {host: 0.0.0.0}",
            [
                "server.host: other machines could reach this address without a key; "
                "set auth.mode: keys, or host: 127.0.0.1"
            ],
        ),
        ("server: {workers: 2}", ["server.workers: more than one worker needs state.url: redis://…"]),
        (
            "state: {url: 'redis://:hunter2@localhost/0'}",
            ["state.url: must not hold a password; name its environment variable in state.password_env"],
        ),
        (
            "state: {url: 'redis://localhost/0?password=hunter2'}",
            ["state.url: must not hold a password; name its environment variable in state.password_env"],
        ),
        (
            "state: {url: 'http://localhost'}",
            [f"state.url: must be memory:, {FORMS} (unknown scheme)"],
        ),
        (
            "state: {url: 'redis://[::1'}",
            [f"state.url: must be memory:, {FORMS} (a host or port is not valid)"],
        ),
        (
            "state: {url: 'redis://one:1,two:2'}",
            [f"state.url: must be memory:, {FORMS} (more than one host needs redis+sentinel:// or redis+cluster://)"],
        ),
        (
            "state: {url: 'redis+sentinel://one,two'}",
            [f"state.url: must be memory:, {FORMS} (the name of the master is missing)"],
        ),
        ("state: {url: 'rediss://localhost:6379/0'}", []),
        ("state: {url: 'redis+sentinel://user@one:1,two:2/main/0', required: false, retention_days: 7}", []),
        ("state: {url: 'rediss+cluster://one,two:7001'}", []),
        (
            "auth: {keys: [{name: a, key_env: A}, {name: a, key_env: B}]}",
            ['auth.keys[1].name: a second key is called "a"'],
        ),
        (
            "auth: {keys: [{name: a, key_env: A}, {name: b, key_env: A}]}",
            ["auth.keys[1].key_env: A is already the secret of the key a"],
        ),
        (
            "auth: {keys: [{name: a, key_env: TURNOUT_ADMIN_KEY}]}",
            ["auth.keys[0].key_env: TURNOUT_ADMIN_KEY is already the secret of auth.admin_key_env"],
        ),
        (
            "auth: {keys: [{name: a, key_env: A, limit_reset: daily}]}",
            ["auth.keys[0].limit_reset: needs limit_usd beside it"],
        ),
        ("health: {down_below: 0.99}", ["health.down_below: must not be above degraded_below"]),
        ("health: {breaker_ejection: 30}", ["health.breaker_ejection: must not be above breaker_ejection_max"]),
        ("retries: {backoff: 5}", ["retries.backoff: must not be above backoff_max"]),
        ("retries: {max_attempts: 0}", ["retries.max_attempts: must be greater than or equal to 1"]),
        ("retries: {max_attempts: 51}", ["retries.max_attempts: must be less than or equal to 50"]),
        ("timeouts: {idle: 0}", ["timeouts.idle: must be greater than 0"]),
        ("timeouts: {idle: 1e999}", ["timeouts.idle: must be a finite number"]),
        ("hedge: {after: never}", ["hedge.after: must be auto, off, or a number of seconds above 0 and at most 3600"]),
        ("hedge: {after: 0}", ["hedge.after: must be auto, off, or a number of seconds above 0 and at most 3600"]),
        ("hedge: {after: off}", []),
        ("hedge: {after: 0.5}", []),
        ("server: {port: 70000}", ["server.port: must be less than or equal to 65535"]),
        ("server: {port: 80.0}", ["server.port: must be a whole number"]),
        # A fault in what a rule looks at silences the rule: it could only guess.
        ("server: {host: 0.0.0.0}\nauth: {mode: key}", ["auth.mode: must be 'open' or 'keys'; did you mean \"keys\"?"]),
        ("health: {down_below: 0.99, degraded_below: x}", ["health.degraded_below: must be a number"]),
        (
            "server: {workers: 2}\nstate: {url: 7}",
            ["state.url: must be text; a number or date that is meant as text goes in quotes"],
        ),
        (
            "x: 1",
            [
                "x: unknown key; valid: server, auth, state, timeouts, retries, hedge, rescue, health, routing, "
                "preferences, providers, models"
            ],
        ),
    ],
)
def test_a_setting_that_cannot_stand_is_refused(section: str, expected: list[str], faults: Faults) -> None:
    lines = [LAST + 1 + section.count("\n")] * len(expected)
    assert faults(BASE + section + "\n") == [
        f"{line}: {message}" for line, message in zip(lines, expected, strict=True)
    ]


@pytest.mark.parametrize(
    ("targets", "circles"),
    [
        ({"author/one": "two", "two": "author/one"}, 1),
        ({"author/one": "two", "two": "three", "three": "author/one"}, 1),
        ({"author/one": "two", "three": "two"}, 0),
        ({"author/one": "two, three", "two": "three"}, 0),
        ({"author/one": "two, three", "two": "author/one", "three": "author/one"}, 2),
    ],
)
def test_fallbacks_in_a_circle_are_refused_and_others_not(
    targets: dict[str, str], circles: int, faults: Faults
) -> None:
    text = BASE
    for model_id, fallbacks in targets.items():
        text = text.replace(f"  {model_id}:\n", f"  {model_id}:\n    fallbacks: [{fallbacks}]\n")
    found = faults(text)
    assert len(found) == circles
    assert all("fallbacks go in a circle: author/one → " in fault for fault in found)


def test_a_very_long_chain_of_fallbacks_is_no_problem(faults: Faults) -> None:
    endpoint = "endpoints: [{provider: alpha, model: m, price: {prompt: 1, completion: 1}}]"
    chain = "".join(
        f"  m{n}: {{context_length: 1, fallbacks: [{'author/one' if n == 1999 else f'm{n + 1}'}], {endpoint}}}\n"
        for n in range(2000)
    )
    assert faults(BASE + chain) == []
    (fault,) = faults(BASE.replace("aliases: [one]", "fallbacks: [m0]") + chain)
    assert "circle" in fault


A_PROXY = "must be a scheme, a host and a port, such as http://proxy.example:3128"


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("base_url: 'ftp://x.example'", "base_url: must be a URL such as https://api.example.com/v1"),
        ("base_url: 'https://'", "base_url: must be a URL such as https://api.example.com/v1"),
        ("base_url: 'https://x.example:99999/v1'", "base_url: is not a valid URL"),
        ("base_url: 'https://user@x.example'", "base_url: must not contain a user name or password; use api_key_env"),
        ("base_url: 'https://x.example/v1?key=1'", "base_url: must have no query and no fragment"),
        ("base_url: 'https://x.example/v1#'", "base_url: must have no query and no fragment"),
        ("base_url: 'https://x.example/a b'", "base_url: must not contain spaces or characters outside ASCII"),
        ("base_url: 'http://localhost:8080/v1'", "base_url: is this gateway itself (server.port: 8080)"),
        ("api_key_env: KEY", "needs exactly one of api_key_env, api_key_file and auth: none"),
        ("auth: null", "needs exactly one of api_key_env, api_key_file and auth: none"),
        ("httpx: {http2: true}", "httpx: options need transport: httpx"),
        ("transport: httpx, httpx: {key_file: k.pem}", "httpx: key_file needs cert_file beside it"),
        (
            "transport: httpx, httpx: {proxy: 'http://u:p@proxy:1'}",
            "httpx.proxy: has characters that are not allowed here",
        ),
        ("transport: httpx, httpx: {proxy: 'socks5://proxy:99999'}", f"httpx.proxy: {A_PROXY}"),
        ("transport: httpx, httpx: {proxy: 'socks5://:1080'}", f"httpx.proxy: {A_PROXY}"),
        ("transport: httpx, httpx: {proxy: 'http://p:1/path'}", f"httpx.proxy: {A_PROXY}"),
        (
            "transport: httpx, httpx: {proxy: 'https://p:1', http2: true}",
            "httpx: http2: true goes through proxies of http:// and socks5:// only",
        ),
        (
            "base_url: 'http://h', transport: httpx, httpx: {http2: true}",
            "httpx.http2: true needs a base_url of https://",
        ),
        (
            "headers: {Authorization: x}",
            "headers: must not set Authorization: the gateway writes it; a key goes into api_key_env",
        ),
        ("headers: {'X Y': x}", "headers: has a header name with characters HTTP does not allow"),
        ('headers: {X: "a\\nb"}', "headers: has a value for X with characters HTTP does not allow"),
        ("headers: {X: a, x: b}", "headers: names x twice"),
        ("headers: {X: 1}", "headers.X: must be text; a number or date that is meant as text goes in quotes"),
        ("data_policy: {zdr: true}", "data_policy: zdr: true needs retention: false and training: false"),
        ("max_concurrency: 0", "max_concurrency: must be greater than or equal to 1"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(provider: str, expected: str, faults: Faults) -> None:
    name = provider.split(":")[0]
    good = {"base_url": "base_url: 'https://x.example/v1'", "auth": "auth: none"}
    rest = ", ".join(text for field, text in good.items() if field != name)
    entry = f"  gamma: {{dialect: openai, {provider}, {rest}}}\n"
    (fault,) = faults(BASE.replace("models:\n", f"{entry}models:\n"))
    assert fault in (f"4: providers.gamma.{expected}", f"4: providers.gamma: {expected}")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_world(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_an_unknown_key_is_reported_where_it_stands_not_where_its_value_does(faults: Faults) -> None:
    found = faults(BASE + "server:\n  prot:\n    8080\n")
    assert found == [f'{LAST + 2}: server.prot: unknown key; did you mean "port"?']


def test_a_faulty_provider_still_counts_as_defined_by_slug_and_by_name(faults: Faults) -> None:
    text = BASE.replace("name: Alpha AI, dialect: openai", "name: Alpha AI, dialect: openai, api_key_env: X")
    found = faults(text + "preferences: {default: {order: [alpha, Alpha AI]}}\n")
    assert found == ["2: providers.alpha: needs exactly one of api_key_env, api_key_file and auth: none"]


def test_several_faults_in_one_list_hide_no_other_fault(faults: Faults) -> None:
    text = BASE.replace("aliases: [one]", "aliases: [1, 2, three]").replace(
        "provider: alpha, model: one", "provider: 7"
    )
    text = text.replace("model: two, price: {prompt: 1, completion: 1}", "model: two, price: {prompt: x, image: y}")
    found = faults(text + "server: {workers: 2}\n")
    assert [fault.split(":")[0] for fault in found] == ["7", "7", "10", "10", "15", "15", "15", str(LAST + 1)]
    assert "more than one worker" in found[-1]


@pytest.mark.parametrize(
    "own",
    [
        "dialect: openai, profile: groq",
        "dialect: openai, profile: openai",
        "dialect: openai, profile: vllm-old",
        "dialect: cometapi, profile: oneapi",
        "dialect: moonshot, profile: moonshot",
        "dialect: openrouter",
    ],
)
def test_a_profile_its_dialect_takes_is_no_fault(faults: Faults, own: str) -> None:
    assert faults(BASE.replace("dialect: openai", own, 1)) == []
