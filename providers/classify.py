"""What a provider's error means: one table, read by code, then by text, then by status."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from providers.error_body import ErrorBody, parse_error
from providers.errors import (
    BadAnswer,
    BadCredentials,
    ContentRefused,
    ContextExceeded,
    InvalidRequest,
    ModelUnavailable,
    OutOfQuota,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    ServerFault,
)
from providers.redact import is_markup, kept, shown
from providers.retry_after import retry_after

Kind = type[ProviderError]


class Rule(NamedTuple):
    """Codes (lower case) and a text that mean `kind`."""

    kind: Kind
    codes: frozenset[str]
    text: re.Pattern[str] | None = None
    statuses: frozenset[int] | None = None
    """Only with one of these statuses; an error inside an answer that names none counts as 200."""
    vague: bool = False
    """Its codes say little: another rule's text outranks them."""


def _rule(kind: Kind, codes: str, *texts: str, statuses: Iterable[int] | None = None, vague: bool = False) -> Rule:
    text = re.compile("|".join(texts), re.IGNORECASE) if texts else None
    return Rule(kind, frozenset(codes.split()), text, None if statuses is None else frozenset(statuses), vague)


# A 4xx that already says whose fault it is outranks a vague `invalid_request_error`.
_CLIENTS_FAULT = (200, 400, 405, 406, 411, 413, 415, 422, 500)

RULES: tuple[Rule, ...] = (
    _rule(
        OutOfQuota,
        "insufficient_quota exceeded_current_quota_error insufficient_balance billing_hard_limit_reached "
        "billing_not_active payment_required arrearage insufficient_user_quota pre_consume_token_quota_failed "
        "insufficient_credits quota_not_enough 1113 account_suspended balance_not_enough",
        r"exceeded your current (?:token )?quota",
        r"check your account balance",
        r"insufficient (?:account )?(?:balance|credits?|funds)",
        r"recharge your account|please recharge",
        r"account (?:is )?in arrears",
        r"suspended due to",
        r"account (?:is|has been) suspended",
        r"key limit exceeded",
        r"budget of \$[\d.,]+ exceeded",
        r"requires more credits",
        r"余额不足|额度不足|欠费|额度已用尽",
    ),
    _rule(
        ContextExceeded,
        "context_length_exceeded exceed_context_size_error context_window_exceeded token_limit_exceeded "
        "model_context_window_exceeded context_too_long request_too_large_for_context 1261",
        r"(?:maximum|max) context(?:[ _]length)?\b",
        r"exceed\w* (?:the )?(?:model(?:'s)? )?(?:token limit|context (?:length|window|size|limit))",
        r"longer than the model's context",
        r"input token length too long",
        r"range of input length should be",
        r"prompt (?:is )?too long|prompt exceeds max length|input is too long",
        r"input token count .{0,30}exceeds the maximum",
        r"maximum (?:prompt|model) length (?:of|is)",
        r"exceeds the available context size",
        r"larger than the maximum context",
        r"exceeds? the maximum allowed length",
        r"exceeds? the model'?s? (?:maximum )?context",
        r"`?inputs`? tokens \+ `?max_new_tokens`? must be",
        r"reduce the length of the messages",
        r"current length is \d+ while limit is \d+",
        r"too large for model with \d+ maximum context",
        r"too many tokens: ",
        statuses=(200, 400, 403, 404, 413, 422, 500, 502, 503),
    ),
    _rule(
        ContentRefused,
        "content_filter content_filtered content_policy_violation content_policy refusal moderation "
        "data_inspection_failed datainspectionfailed responsibleaipolicyviolation sensitive_words_detected "
        "content_moderation inappropriate_content 1301 moderation_blocked prompt_blocked",
        r"considered high risk",
        r"content management policy",
        r"(?:violat\w+|against) .{0,40}(?:content|usage|safety) polic",
        r"safety system",
        r"inappropriate content",
        r"requires moderation on .{0,60} your input was flagged",
    ),
    _rule(
        ModelUnavailable,
        "model_not_found resource_not_found_error model_unavailable modelnotfound model_not_available "
        "invalid_model model_decommissioned model_deprecated model_unavailable_upstream no_endpoints "
        "free_variant_ended 1211 modelnotfounderror not_found_error",
        r"no available channel",
        r"model .{0,100}(?:does not exist|not found|is not available|has been (?:decommissioned|deprecated|retired))",
        r"(?:no such|unknown|unsupported) model",
        r"is not a valid model id",
        r"no (?:allowed |)(?:endpoints|providers) (?:found|are available)",
    ),
    _rule(
        Overloaded,
        "engine_overloaded_error overloaded_error overloaded provider_overloaded server_overloaded "
        "insufficient_system_resource capacity_exhausted service_overloaded 1305 over_capacity",
        r"(?:currently|temporarily|is|are) overloaded",
        r"\bat capacity\b|over capacity|no capacity",
        r"server is (?:too )?busy|负载已饱和|系统繁忙",
    ),
    _rule(
        RateLimited,
        "rate_limit_reached_error rate_limit_exceeded rate_limit_error ratelimiterror too_many_requests "
        "limit_requests limit_burst_rate throttling throttling.ratequota throttling.allocationquota "
        "1302 1303 1304 requests_limit_exceeded tokens_limit_exceeded resource_exhausted concurrency_limit",
        r"rate[- ]?limit(?:ed| exceeded| reached)",
        r"too many requests",
        r"reached max (?:organization )?(?:concurrency|rpm|tpm|tpd)",
    ),
    _rule(
        BadCredentials,
        "invalid_api_key incorrect_api_key_error invalid_authentication_error authentication_error "
        "invalidapikey permission_denied permission_denied_error authentication permission_error "
        "unauthorized access_denied accessdenied invalid_token",
        r"(?:incorrect|invalid) api[ _-]?key",
        r"authentication fails",
        r"invalid token \(request id",
        statuses=(200, 400, 401, 403, 500),
    ),
    _rule(BadAnswer, "tool_use_failed unexpected_output json_validate_failed output_parse_failed"),
    _rule(
        InvalidRequest,
        "invalid_request invalid_request_error badrequesterror bad_request invalid_prompt invalidparameter "
        "unprocessable payload_too_large invalid_parameter_error invalid_parameter validation_error "
        "invalid_argument convert_request_failed unsupported_parameter string_too_long max_tokens_exceeded",
        r"^field \w+ is required",
        statuses=_CLIENTS_FAULT,
        vague=True,
    ),
    _rule(ServerFault, "server_error internal_server_error internal_error server_unavailable timeout", vague=True),
)

STATUSES: Mapping[int, Kind] = MappingProxyType(
    {
        401: BadCredentials,
        402: OutOfQuota,
        403: BadCredentials,
        404: ModelUnavailable,
        408: ServerFault,
        409: ServerFault,
        410: ModelUnavailable,
        412: BadCredentials,
        425: ServerFault,
        429: RateLimited,
        434: BadCredentials,
        498: Overloaded,
        499: ServerFault,
        503: Overloaded,
        529: Overloaded,
    }
)

_LIMITS = re.compile(
    r"(?:max\w* (?:context|model|prompt) length(?: of| is|:)?\s*|context (?:length|size|window)(?: of| is)?\s*\(?"
    r"|token limit\s*:?\s*|input length should be \[\d+,\s*|tokens > |number of tokens allowed \("
    r"|maximum allowed length \(|must be <= ?|while limit is |too large for model with |exceed context limit: .{1,30}> "
    r"|prompt cannot exceed |max_model_len(?:gth)?\D{1,5})(\d[\d,]*)",
    re.IGNORECASE,
)


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    kinds: Mapping[str, Kind] = MappingProxyType({}),
) -> ProviderError:
    """What an answer other than a good one means. `kinds` are codes that mean something else at this vendor."""
    text = body.decode("utf-8", "replace").strip()
    page = is_markup(text) or "text/html" in headers.get("content-type", "")
    said = ErrorBody() if page else parse_error(body)
    message = shown(said.message) or _about(status, page, bool(text))
    return _error(said, status, message, None if page or not text else kept(text), headers, kinds)


def classify_in_band(error: bytes, kinds: Mapping[str, Kind] = MappingProxyType({})) -> ProviderError:
    """What an error inside a 200 means: the bytes of its `error` value, or of the whole object."""
    said = parse_error(error)
    status = said.status or 200
    which = f": {said.codes[0]}." if said.codes and said.codes[0] else ", without saying which."
    message = shown(said.message) or shown("The provider reported an error in its answer" + which)
    return _error(said, status, message, kept(error.decode("utf-8", "replace")), {}, kinds)


_SIGNS = ("message", "msg", "detail", "error_msg", "code", "base_resp")
_NO_SIGN = frozenset((b"null", b'""', b"0"))


def tells_of_error(answer: Mapping[str, bytes]) -> bool:
    """Whether the members of what should be an answer, or a chunk of one, are those of an error without `error`."""
    if answer.get("choices", b"null") != b"null" or "usage" in answer:
        return False
    if answer.get("object") == b'"chat.completion.chunk"' and "base_resp" not in answer:
        return False
    return any(answer.get(name, b"null") not in _NO_SIGN and b'"status_code":0' not in answer[name] for name in _SIGNS)


def _about(status: int, page: bool, has_body: bool) -> str:
    what = "an HTML page" if page else "a body without a message" if has_body else "an empty body"
    return f"The provider answered HTTP {status} with {what}."


def _error(
    said: ErrorBody,
    status: int,
    message: str,
    raw: str | None,
    headers: Mapping[str, str],
    kinds: Mapping[str, Kind],
) -> ProviderError:
    everything = "\n".join((said.text, said.relayed))
    return _kind(said, status, kinds)(
        message,
        upstream_status=None if status == 200 else status,
        raw=raw,
        retry_after=retry_after(headers, everything),
        context_limit=said.context_limit or context_limit(everything),
    )


def context_limit(text: str) -> int | None:
    """Tokens of room a context-length message says there are, or None."""
    found = _LIMITS.search(text)
    return int(found[1].replace(",", "")) if found else None


def _kind(said: ErrorBody, status: int, kinds: Mapping[str, Kind]) -> Kind:
    if said.relayed and (kind := _relayed_kind(said)) is not None:
        return kind
    if said.flagged and status in (200, 400, 403):
        return ContentRefused
    own = next((kinds[code] for code in said.codes if code in kinds), None)
    kind = own or _by_rules(said, status) or by_status(status)
    # Behind an aggregator it is not our key that was refused.
    return ServerFault if said.relayed and issubclass(kind, Refused) and status != 402 else kind


def _relayed_kind(said: ErrorBody) -> Kind | None:
    """What the provider behind an aggregator said, where that is about the request, not about an account."""
    inner = parse_error(said.relayed.encode("utf-8", "replace"))
    kind = _by_rules(inner, said.status or 200)
    about_request = (ContextExceeded, ContentRefused, Overloaded, RateLimited)
    return kind if kind is not None and issubclass(kind, about_request) else None


def _by_rules(said: ErrorBody, status: int) -> Kind | None:
    """The table, read three times: by telling codes, by texts, by vague codes."""
    rules = [rule for rule in RULES if rule.statuses is None or status in rule.statuses]
    codes = set(said.codes)
    found = (
        next((rule for rule in rules if not rule.vague and not codes.isdisjoint(rule.codes)), None)
        or next((rule for rule in rules if rule.text and rule.text.search(said.text)), None)
        or next((rule for rule in rules if not codes.isdisjoint(rule.codes)), None)
    )
    return found.kind if found else None


def by_status(status: int) -> Kind:
    """What a status alone means."""
    if status in STATUSES:
        return STATUSES[status]
    if 400 <= status < 500:
        return InvalidRequest
    return ServerFault if status >= 500 or status == 200 else BadAnswer
