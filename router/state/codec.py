"""Rows and keys as JSON, the form both stores keep and other systems read."""

from __future__ import annotations

import msgspec

from router.state.values import KeyRecord, Row

_encoder = msgspec.json.Encoder()
_row = msgspec.json.Decoder(Row)
_key = msgspec.json.Decoder(KeyRecord)


def encode(value: Row | KeyRecord) -> bytes:
    """A JSON object; money as decimal strings."""
    return _encoder.encode(value)


def row(data: bytes) -> Row:
    """Raises msgspec.DecodeError where it is none."""
    return _row.decode(data)


def key(data: bytes) -> KeyRecord:
    """Raises msgspec.DecodeError where it is none."""
    return _key.decode(data)
