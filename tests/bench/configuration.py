"""The gateway's configuration for the benchmark: one model with four endpoints, and as large a catalogue as wanted."""

from __future__ import annotations

from pathlib import Path

PROVIDERS = 4
MODEL = "bench/model"
CLIENT_KEY = "sk-turnout-bench-0123456789abcdef"
CONTEXT = 8_388_608
"""Tokens: more than the largest prompt of the benchmark."""
ENVIRON = {
    "BENCH_CLIENT_KEY": CLIENT_KEY,
    "BENCH_UPSTREAM_KEY": "sk-upstream-bench-0123456789",
    "TURNOUT_ADMIN_KEY": "sk-admin-bench-0123456789abcdef",
}
_HEAD = """\
server: {max_in_flight: 10000}
auth:
  mode: keys
  keys: [{name: bench, key_env: BENCH_CLIENT_KEY}]
"""


def render(upstream: str, database: Path, endpoints: int = PROVIDERS, state: str = "memory:") -> str:
    """YAML: four providers at one upstream, and `endpoints` spread over models of four each; MODEL is the first.

    `state`: the URL of what replicas share."""
    lines = [_HEAD, f"state: {{url: '{state}', path: {database}}}", "providers:"]
    for number in range(PROVIDERS):
        settings = f"dialect: moonshot, base_url: {upstream}, api_key_env: BENCH_UPSTREAM_KEY"
        lines.append(f"  bench-{number}: {{name: Bench {number}, {settings}}}")
    lines.append("models:")
    for number in range(endpoints):
        model, provider = divmod(number, PROVIDERS)
        if provider == 0:
            name = f"{MODEL}-{model}" if model else MODEL
            lines += [f"  {name}:", f"    context_length: {CONTEXT}", "    endpoints:"]
        lines.append(_endpoint(provider))
    return "\n".join(lines) + "\n"


def _endpoint(provider: int) -> str:
    price = f"{{prompt: 0.{50 + provider}, completion: 2.{provider}}}"
    return f"      - {{provider: bench-{provider}, model: upstream-model, price: {price}}}"
