"""What a configuration consists of: every section, field and default of the file."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from config.fields import (
    AsTuple,
    Count,
    Day,
    FilePath,
    Frozen,
    Headers,
    HttpUrl,
    Label,
    Number,
    ProxyUrl,
    Seconds,
    Share,
    Text,
    Tokens,
    Upstream,
    Usd,
    Variable,
)
from config.preferences import Preferences, Quantization

Modality = Literal["text", "image", "file", "audio", "video"]


class Server(Frozen):
    host: Label = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    """0 takes any free port."""
    workers: int = Field(default=1, ge=1, le=256)
    max_body_bytes: int = Field(default=33_554_432, ge=1_024, le=1_073_741_824)
    max_in_flight: Count = 1_000
    drain_seconds: Annotated[Number, Field(ge=0, le=3_600)] = 30.0


class ClientKey(Frozen):
    """A static key. `models` are globs of model ids; None: all."""

    name: Label
    key_env: Variable
    limit_usd: Usd | None = None
    limit_reset: Literal["daily", "weekly", "monthly"] | None = None
    rpm: Count | None = None
    models: Annotated[tuple[Text, ...], AsTuple, Field(min_length=1)] | None = None


class Auth(Frozen):
    mode: Literal["open", "keys"] = "open"
    admin_key_env: Variable = "TURNOUT_ADMIN_KEY"
    keys: Annotated[tuple[ClientKey, ...], AsTuple] = ()


class State(Frozen):
    url: Text = "memory:"
    """`memory:`, or where Redis is, as `config.redis_address` reads it."""
    password_env: Variable | None = None
    path: FilePath = "turnout.db"
    required: bool = True
    """False: start without Redis where it cannot be used, and take it up once it can."""
    retention_days: Annotated[Number, Field(ge=1, le=3_650)] = 90.0
    """How long the ledger keeps the row of a request; its sums are kept longer."""


class Timeouts(Frozen):
    connect: Seconds = 5.0
    first_token: Seconds = 90.0
    idle: Seconds = 30.0
    total: Seconds = 900.0


class Retries(Frozen):
    max_attempts: int = Field(default=5, ge=1, le=50)
    """Upstream calls of one request in all, fallback models included."""
    backoff: Annotated[Number, Field(ge=0, le=60)] = 0.3
    backoff_max: Annotated[Number, Field(ge=0, le=60)] = 2.0
    wait_retry_after: Annotated[Number, Field(ge=0, le=60)] = 3.0


def _after(value: Any) -> Any:
    if value in ("auto", "off"):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and 0 < value <= 3_600:
        return float(value)
    raise ValueError("must be auto, off, or a number of seconds above 0 and at most 3600")


class Hedge(Frozen):
    after: Annotated[Literal["auto", "off"] | float, BeforeValidator(_after)] = "auto"
    default: Seconds = 10.0
    max_share: Share = 0.05


class Rescue(Frozen):
    mode: Literal["auto", "off"] = "auto"
    max_per_request: int = Field(default=1, ge=0, le=10)


class Health(Frozen):
    outage_window: Seconds = 30.0
    outage_error_rate: Share = 0.5
    outage_min: Count = 3
    breaker_failures: Count = 5
    breaker_ejection: Seconds = 5.0
    breaker_ejection_max: Seconds = 20.0
    degraded_below: Share = 0.95
    down_below: Share = 0.80
    uptime_min_requests: Count = 100


class Routing(Frozen):
    strategy: Literal["price", "balanced"] = "price"


class PreferenceSets(Frozen):
    """`default` for every model; `models` by glob of model ids."""

    default: Preferences = Preferences()
    models: dict[str, Preferences] = Field(default_factory=dict)


class HttpxOptions(Frozen):
    """What the httpx transport can do beyond lean."""

    proxy: ProxyUrl | None = None
    http2: bool = False
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    ca_file: FilePath | None = None
    """Instead of the provider's own `ca_file`."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file beside it")
        if self.http2 and self.proxy and self.proxy.startswith("https:"):
            raise ValueError("http2: true goes through proxies of http:// and socks5:// only")
        return self


class DataPolicy(Frozen):
    training: bool = False
    retention: bool = True
    zdr: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.zdr and (self.retention or self.training):
            raise ValueError("zdr: true needs retention: false and training: false")
        return self


class Provider(Frozen):
    """An upstream account. `name` defaults to the slug."""

    name: Label
    dialect: Literal["moonshot", "cometapi", "openrouter", "openai"]
    profile: Text | None = None
    """Whose accent it speaks the dialect with; None: that of the dialect's own name."""
    base_url: HttpUrl
    """Without a trailing slash."""
    api_key_env: Variable | None = None
    api_key_file: FilePath | None = None
    auth: Literal["none"] | None = None
    headers: Headers = Field(default_factory=dict)
    transport: Literal["lean", "httpx"] = "lean"
    httpx: HttpxOptions | None = None
    ca_file: FilePath | None = None
    """PEM certificates to trust instead of the system's."""
    max_concurrency: Count | None = None
    data_policy: DataPolicy = DataPolicy()

    @model_validator(mode="after")
    def _one_key_and_its_transport(self) -> Self:
        if sum(way is not None for way in (self.api_key_env, self.api_key_file, self.auth)) != 1:
            raise ValueError("needs exactly one of api_key_env, api_key_file and auth: none")
        if self.httpx is not None and self.transport != "httpx":
            raise ValueError("httpx: options need transport: httpx")
        if self.httpx is not None and self.httpx.http2 and urlsplit(self.base_url).scheme != "https":
            raise ValueError("httpx.http2: true needs a base_url of https://")
        return self


class Price(Frozen):
    """USD per million tokens; `request` per request and `image` per image. None: not charged apart."""

    prompt: Usd
    completion: Usd
    cache_read: Usd | None = None
    """None: cached tokens cost what others do."""
    cache_write: Usd | None = None
    request: Usd | None = None
    image: Usd | None = None


class Endpoint(Frozen):
    """A model at a provider. `context_length` defaults to the model's."""

    provider: Text
    model: Upstream
    """The provider's own id."""
    variant: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] | None = None
    quantization: Quantization | None = None
    context_length: Tokens
    max_output: Tokens | None = None
    price: Price
    supports: Annotated[tuple[Text, ...], AsTuple] | None = None
    """Request parameters taken, by OpenRouter's names. None: not known, so all."""
    prefix: Literal["partial", "prefill", "prefix", "continue_final_message", "none"] | None = None
    """How a begun answer is handed over to be continued. None: what the profile knows, else not at all."""
    extract: Annotated[tuple[Literal["think", "kimi_markers"], ...], AsTuple] = ()
    """What is taken out of its text: a leading `<think>…</think>` as reasoning, Kimi's raw markers as tool calls."""

    @property
    def tag(self) -> str:
        return f"{self.provider}/{self.variant}" if self.variant else self.provider


class Reasoning(Frozen):
    mandatory: bool = False


class Benchmark(Frozen):
    """What somebody measured of a model, on a scale of their own."""

    score: Annotated[Number, Field(ge=-1e9, le=1e9)]
    source: Label | None = None
    """Who says so; an http(s) URL becomes a link."""
    date: Day | None = None


def _scored(value: Any) -> Any:
    return {"score": value} if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else value


class Model(Frozen):
    """`name` and `canonical_slug` default to the model's id."""

    name: Label
    canonical_slug: Text
    description: Text = ""
    created: Day | None = None
    aliases: Annotated[tuple[Text, ...], AsTuple] = ()
    context_length: Tokens
    input_modalities: Annotated[tuple[Modality, ...], AsTuple, Field(min_length=1)] = ("text",)
    reasoning: Reasoning | None = None
    """None: the model does not reason."""
    fallbacks: Annotated[tuple[Text, ...], AsTuple] = ()
    benchmarks: dict[Label, Annotated[Benchmark, BeforeValidator(_scored)]] = Field(default_factory=dict)
    """By name; a bare number is a score."""
    tips: Annotated[tuple[Text, ...], AsTuple] = ()
    """How to get the best of it, for people to read."""
    endpoints: Annotated[tuple[Endpoint, ...], AsTuple, Field(min_length=1)]


class Settings(Frozen):
    """A whole configuration. Build it with `config.load.load`, or `Settings.model_validate`."""

    server: Server = Server()
    auth: Auth = Auth()
    state: State = State()
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    hedge: Hedge = Hedge()
    rescue: Rescue = Rescue()
    health: Health = Health()
    routing: Routing = Routing()
    preferences: PreferenceSets = PreferenceSets()
    providers: dict[str, Provider] = Field(min_length=1)
    models: dict[str, Model] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Defaults that come from elsewhere in the file: names from keys, context from the model."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for section, fill in (("providers", _with_name), ("models", _with_model_defaults)):
            if isinstance(data.get(section), dict):
                data[section] = {key: fill(key, value) for key, value in data[section].items()}
        return data


def _with_name(slug: str, provider: Any) -> Any:
    return {"name": slug, **provider} if isinstance(provider, dict) else provider


def _with_model_defaults(model_id: str, model: Any) -> Any:
    if not isinstance(model, dict):
        return model
    filled = {"name": model_id, "canonical_slug": model_id, **model}
    if isinstance(endpoints := model.get("endpoints"), list | tuple):
        filled["endpoints"] = tuple(_with_context(model.get("context_length"), item) for item in endpoints)
    return filled


def _with_context(length: Any, endpoint: Any) -> Any:
    if not isinstance(endpoint, dict):
        return endpoint
    # Where the model's own length is missing or wrong, that one fault is enough.
    usable = isinstance(length, int) and not isinstance(length, bool) and length > 0
    return {"context_length": length if usable else 1, **endpoint}
