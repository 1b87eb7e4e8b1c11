"""CometAPI, a reseller of the one-api family: its error codes say more than its statuses do."""

from __future__ import annotations

from types import MappingProxyType

from providers.dialects.profile import Profile
from providers.dialects.thinking import BY_EFFORT
from providers.errors import InvalidRequest, ModelUnavailable

COMETAPI = Profile(
    name="cometapi",
    thinking=BY_EFFORT,
    errors=MappingProxyType(
        {
            "model_not_found": ModelUnavailable,  # with HTTP 503
            "invalid_request": InvalidRequest,  # with HTTP 500
            "convert_request_failed": InvalidRequest,
        }
    ),
)
