"""A provider's own TLS options: whom to trust, and the certificate we show."""

from __future__ import annotations

import ssl

from providers.transport.origin import reason_of


def client_context(
    ca_file: str | None = None, cert_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """A new context that verifies names and certificates: against `ca_file`, else against the system's store.

    `cert_file`, with `key_file` unless it holds the key too, is our certificate. All are PEM files.
    Raises ValueError for files that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file:
            # without a password given here, an encrypted key would make OpenSSL ask for one on the terminal
            context.load_cert_chain(cert_file, key_file, password="")
    except OSError as error:
        names = ", ".join(name for name in (ca_file, cert_file, key_file) if name)
        raise ValueError(f"cannot load {names}: {reason_of(error)}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context
