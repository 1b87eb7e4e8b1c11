"""What may stand in the head of a request, and what its first line asks for."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote

from httptools import HttpParserError, parse_url

from router.edge.asgi import Header
from router.errors import BadRequest

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200


class Refusal(Exception):
    """Raised inside the parser's callbacks; says what to answer before the connection is closed."""

    def __init__(self, error: BadRequest) -> None:
        super().__init__(error.message)
        self.error = error


def invalid() -> BadRequest:
    """What is no HTTP."""
    return BadRequest("This is not a valid HTTP request.")


def too_large() -> BadRequest:
    """A head over MAX_HEAD_BYTES."""
    return BadRequest("The request's head is larger than 64 kB.", status=431)


def check_size(url: bytes, fields: list[Header]) -> None:
    """Raises Refusal."""
    if len(fields) > MAX_HEADERS:
        raise Refusal(BadRequest(f"The request has more than {MAX_HEADERS} header fields.", status=431))
    if len(url) + sum([len(name) + len(value) + 4 for name, value in fields]) > MAX_HEAD_BYTES:
        raise Refusal(too_large())


@lru_cache(64)
def target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, decoded and as it came, and query string. Raises Refusal."""
    try:
        parsed = parse_url(url)
        raw: bytes | None = parsed.path
        if raw is None:
            raise ValueError
        path = raw.decode("ascii")
    except (HttpParserError, ValueError):
        raise Refusal(invalid()) from None
    return unquote(path) if "%" in path else path, raw, parsed.query or b""
