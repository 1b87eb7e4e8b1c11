"""The rules no single object of a configuration can check: names, references, what must go together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import urlsplit

from config import redis_address
from config.fault import Finding, KeyPath, Names
from config.preferences import Preferences
from config.profiles import PROFILES, TAKEN_BY
from config.schema import Model, Settings

# fmt: off
PARAMETERS = (
    "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty",
    "repetition_penalty", "max_tokens", "max_completion_tokens", "logit_bias", "logprobs", "top_logprobs",
    "prediction", "seed", "response_format", "structured_outputs", "stop", "tools", "tool_choice",
    "parallel_tool_calls", "include_reasoning", "reasoning", "reasoning_effort", "web_search_options",
    "verbosity",
)
# fmt: on
"""OpenRouter's names of request parameters. Others may be declared, unless they look like a slip of these."""

SUFFIXES = (":nitro", ":floor")
"""Ways to sort that a request may add to any model id; a model cannot be called so."""

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@:-]*(?:/[A-Za-z0-9._+@:-]+)*")
_ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to


def check(settings: Settings) -> list[Finding]:
    """Everything the rules find."""
    return [finding for rule in _RULES for finding in rule(settings)]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _provider_slugs(settings: Settings) -> Iterator[Finding]:
    for slug in settings.providers:
        if not _SLUG.fullmatch(slug):
            message = "a provider's slug begins with a-z or 0-9 and holds only a-z 0-9 . _ -"
            yield Finding(("providers", slug), message, at_key=True)


def _profiles(settings: Settings) -> Iterator[Finding]:
    for slug, provider in settings.providers.items():
        name, path = provider.profile, ("providers", slug, "profile")
        taken = TAKEN_BY.get(provider.dialect, (provider.dialect,))
        if name is None or name in taken:
            continue
        if name not in PROFILES:
            yield Finding(path, f'unknown profile "{name}"{Names(taken).hint(name) or Names(PROFILES).hint(name)}')
        else:
            message = f"dialect {provider.dialect} takes only {' or '.join(taken)}; {name} needs dialect: openai"
            yield Finding(path, message, about=(("providers", slug, "dialect"),))


def _model_names(settings: Settings) -> Iterator[Finding]:
    """Every id, canonical slug and alias leads to one model."""
    owners = {model_id: model_id for model_id in settings.models}
    for path, owner, name, is_id in _names_of_models(settings):
        if fault := _name_fault(name):
            yield Finding(path, fault, at_key=is_id)
        elif is_id or (path[-1] == "canonical_slug" and name == owner):
            continue
        elif name in owners:
            yield Finding(path, f'"{name}" already names the model {owners[name]}')
        owners.setdefault(name, owner)


def _names_of_models(settings: Settings) -> Iterator[tuple[KeyPath, str, str, bool]]:
    for model_id, model in settings.models.items():
        path = ("models", model_id)
        yield path, model_id, model_id, True
        yield (*path, "canonical_slug"), model_id, model.canonical_slug, False
        for position, alias in enumerate(model.aliases):
            yield (*path, "aliases", position), model_id, alias, False


def _name_fault(name: str) -> str | None:
    if len(name) > 200 or not _MODEL_ID.fullmatch(name):
        return "a model's name holds only letters, digits and . _ + @ : - with single slashes between"
    if name.endswith(SUFFIXES):
        return f"a model's name cannot end in {' or '.join(SUFFIXES)}: that asks for an order of providers"
    return None


def _endpoint_providers(settings: Settings) -> Iterator[Finding]:
    slugs = Names(settings.providers)
    for model_id, model in settings.models.items():
        for position, endpoint in enumerate(model.endpoints):
            if endpoint.provider not in settings.providers:
                path = ("models", model_id, "endpoints", position, "provider")
                hint = slugs.hint(endpoint.provider)
                yield Finding(path, f'no provider "{endpoint.provider}" is defined{hint}')


def _tags(settings: Settings) -> Iterator[Finding]:
    for model_id, model in settings.models.items():
        first: dict[str, int] = {}
        for position, endpoint in enumerate(model.endpoints):
            if first.setdefault(endpoint.tag, position) != position:
                field = "variant" if endpoint.variant else "provider"
                message = f"a second endpoint {endpoint.tag}; give it a variant of its own"
                yield Finding(("models", model_id, "endpoints", position, field), message)


def _fallbacks(settings: Settings) -> Iterator[Finding]:
    ids = Names(settings.models)
    aliases = {alias: model_id for model_id, model in settings.models.items() for alias in model.aliases}
    for model_id, model in settings.models.items():
        for position, target in enumerate(model.fallbacks):
            path = ("models", model_id, "fallbacks", position)
            if target == model_id:
                yield Finding(path, "a model cannot fall back to itself")
            elif target in model.fallbacks[:position]:
                yield Finding(path, f'"{target}" is listed twice')
            elif target in aliases:
                yield Finding(path, f'"{target}" is an alias; write "{aliases[target]}"')
            elif target not in settings.models:
                yield Finding(path, f'no model "{target}" is defined{ids.hint(target)}')


def _cycles(settings: Settings) -> Iterator[Finding]:
    """Fallbacks that lead back: reported once, at the step that closes the circle."""
    finished: set[str] = set()
    for start in settings.models:
        trail = {} if start in finished else {start: _targets(settings.models, start)}
        while trail:
            here = next(reversed(trail))
            position, target = next(trail[here], (0, None))
            if target is None:
                finished.add(here)
                del trail[here]
            elif target in trail:
                path = ("models", here, "fallbacks", position)
                yield Finding(path, f"fallbacks go in a circle: {_circle(list(trail), target)}")
            elif target not in finished:
                trail[target] = _targets(settings.models, target)


def _circle(trail: list[str], target: str) -> str:
    return " → ".join([*trail[trail.index(target) :], target])


def _targets(models: Mapping[str, Model], model_id: str) -> Iterator[tuple[int, str]]:
    for position, target in enumerate(models[model_id].fallbacks):
        if target in models and target != model_id:
            yield position, target


def _preferred_providers(settings: Settings) -> Iterator[Finding]:
    known = {one.name for one in settings.providers.values()} | set(settings.providers)
    known |= {endpoint.tag for model in settings.models.values() for endpoint in model.endpoints}
    names = Names(sorted(known))
    for path, preferences in _preference_sets(settings):
        for field in ("order", "only", "ignore"):
            for position, name in enumerate(getattr(preferences, field) or ()):
                if name not in known:
                    message = f'no provider or endpoint "{name}" is defined{names.hint(name)}'
                    yield Finding((*path, field, position), message)


def _preference_sets(settings: Settings) -> Iterator[tuple[KeyPath, Preferences]]:
    yield ("preferences", "default"), settings.preferences.default
    for glob, preferences in settings.preferences.models.items():
        yield ("preferences", "models", glob), preferences


def _globs(settings: Settings) -> Iterator[Finding]:
    ids = Names(settings.models)
    for path, glob, at_key in _all_globs(settings):
        if not any(fnmatchcase(model_id, glob) for model_id in settings.models):
            yield Finding(path, f'no model matches "{glob}"{ids.hint(glob)}', at_key)


def _all_globs(settings: Settings) -> Iterator[tuple[KeyPath, str, bool]]:
    for glob in settings.preferences.models:
        yield ("preferences", "models", glob), glob, True
    for key, client in enumerate(settings.auth.keys):
        for position, glob in enumerate(client.models or ()):
            yield ("auth", "keys", key, "models", position), glob, False


def _exposure(settings: Settings) -> Iterator[Finding]:
    if settings.auth.mode == "open" and not is_loopback(settings.server.host):
        message = "other machines could reach this address without a key; set auth.mode: keys, or host: 127.0.0.1"
        yield Finding(("server", "host"), message, about=(("auth", "mode"),))


def _state(settings: Settings) -> Iterator[Finding]:
    if settings.state.url == "memory:":
        if settings.server.workers > 1:
            message = "more than one worker needs state.url: redis://…"
            yield Finding(("server", "workers"), message, about=(("state", "url"),))
    elif fault := _redis_fault(settings.state.url):
        yield Finding(("state", "url"), fault)


def _redis_fault(url: str) -> str | None:
    try:
        redis_address.parse(url)
    except redis_address.HoldsPassword:
        return "must not hold a password; name its environment variable in state.password_env"
    except redis_address.Malformed as error:
        return f"must be memory:, {redis_address.FORMS} ({error})"
    return None


def _client_keys(settings: Settings) -> Iterator[Finding]:
    names: set[str] = set()
    variables = {
        settings.auth.admin_key_env: "auth.admin_key_env",
        settings.state.password_env: "state.password_env",
    }
    variables |= {one.api_key_env: f"providers.{slug}" for slug, one in settings.providers.items()}
    for position, key in enumerate(settings.auth.keys):
        path = ("auth", "keys", position)
        if key.name in names:
            yield Finding((*path, "name"), f'a second key is called "{key.name}"')
        if owner := variables.get(key.key_env):
            yield Finding((*path, "key_env"), f"{key.key_env} is already the secret of {owner}")
        if key.limit_reset and key.limit_usd is None:
            message = "needs limit_usd beside it"
            yield Finding((*path, "limit_reset"), message, about=((*path, "limit_usd"),))
        names.add(key.name)
        variables[key.key_env] = f"the key {key.name}"


def _orders(settings: Settings) -> Iterator[Finding]:
    health, retries = settings.health, settings.retries
    if health.down_below > health.degraded_below:
        yield _above("health", "down_below", "degraded_below")
    if health.breaker_ejection > health.breaker_ejection_max:
        yield _above("health", "breaker_ejection", "breaker_ejection_max")
    if retries.backoff > retries.backoff_max:
        yield _above("retries", "backoff", "backoff_max")


def _above(section: str, field: str, limit: str) -> Finding:
    return Finding((section, field), f"must not be above {limit}", about=((section, limit),))


def _parameters(settings: Settings) -> Iterator[Finding]:
    slips: dict[str, str | None] = {name: None for name in PARAMETERS}
    for model_id, model in settings.models.items():
        for position, endpoint in enumerate(model.endpoints):
            for place, name in enumerate(endpoint.supports or ()):
                if name not in slips:
                    slips[name] = _slip(name)
                if slips[name]:
                    path = ("models", model_id, "endpoints", position, "supports", place)
                    yield Finding(path, f'unknown parameter; did you mean "{slips[name]}"?')


def _slip(name: str) -> str | None:
    return Names(PARAMETERS).nearest(name, cutoff=0.85)


def _loops(settings: Settings) -> Iterator[Finding]:
    """A gateway that is its own upstream would send one request round for ever."""
    server = settings.server
    for slug, provider in settings.providers.items():
        parts = urlsplit(provider.base_url)
        itself = is_loopback(parts.hostname or "") and (is_loopback(server.host) or server.host in _ANY_ADDRESS)
        if itself and server.port and parts.port == server.port:
            yield Finding(("providers", slug, "base_url"), f"is this gateway itself (server.port: {server.port})")


_RULES: tuple[Callable[[Settings], Iterable[Finding]], ...] = (
    _provider_slugs,
    _profiles,
    _model_names,
    _endpoint_providers,
    _tags,
    _fallbacks,
    _cycles,
    _preferred_providers,
    _globs,
    _exposure,
    _state,
    _client_keys,
    _orders,
    _parameters,
    _loops,
)
