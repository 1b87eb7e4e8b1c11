"""Chooses the engine that can do what the `httpx:` options of a provider ask."""

from __future__ import annotations

from urllib.parse import urlsplit

from providers.transport.base import Limits, Transport
from providers.transport.http2 import Http2Transport
from providers.transport.httpx import HttpxTransport
from providers.transport.lean import LeanTransport
from providers.transport.proxy import Proxy
from providers.transport.tls import client_context


def beyond_lean(
    base_url: str,
    limits: Limits,
    *,
    proxy: str | None = None,
    http2: bool = False,
    cert_file: str | None = None,
    key_file: str | None = None,
    ca_file: str | None = None,
) -> Transport:
    """httpx over aiohttp's pool; but HTTP/2 over h2, and HTTP/1.1 through SOCKS5 over lean's connections.

    `proxy` is a URL without a user: http://, https:// (not with `http2`), socks5:// or socks5h://, which are one:
    the proxy resolves names. The environment's is never used. `cert_file` (and `key_file`) is our certificate,
    `ca_file` what to trust instead of the system's store. Raises ValueError for what cannot be done.

    httpx's own pools offer all of this, but one is lost to cancelled requests, and its successor never tells an
    HTTP/2 peer that a request was cancelled, so that it generates on, until the connection's window is used up.
    """
    if http2:
        context = client_context(ca_file, cert_file, key_file)
        return Http2Transport(base_url, limits, context, Proxy.parse(proxy) if proxy else None)
    if proxy and urlsplit(proxy).scheme in ("socks5", "socks5h"):
        return LeanTransport(base_url, limits, client_context(ca_file, cert_file, key_file), Proxy.parse(proxy))
    return HttpxTransport(base_url, limits, proxy=proxy, cert_file=cert_file, key_file=key_file, ca_file=ca_file)
