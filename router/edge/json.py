"""A JSON response."""

from __future__ import annotations

from starlette.responses import Response

from providers.splice import encode


def json_response(value: object, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")
