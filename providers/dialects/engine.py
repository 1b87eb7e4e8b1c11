"""The one dialect there is: a profile, and the three directions that read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from providers.classify import classify
from providers.dialects.base import Call, Envelope
from providers.dialects.profile import Profile
from providers.dialects.request import encode_request
from providers.dialects.stream import Reader
from providers.dialects.whole import WholeAnswer
from providers.errors import ProviderError


@dataclass(frozen=True, slots=True)
class ProfileDialect:
    """`base.Dialect` for a profile."""

    profile: Profile

    @property
    def name(self) -> str:
        """As in the configuration's `dialect`."""
        return self.profile.name

    def encode(self, call: Call) -> bytes:
        """See `base.Dialect`."""
        return encode_request(call, self.profile)

    def forwards(self) -> frozenset[str]:
        """See `base.Dialect`."""
        return self.profile.forwards

    def whole(self, data: bytes, envelope: Envelope) -> WholeAnswer:
        """See `base.Dialect`."""
        return WholeAnswer(data, envelope, self.profile)

    def stream(self, envelope: Envelope) -> Reader:
        """See `base.Dialect`."""
        return Reader(envelope, self.profile)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """See `base.Dialect`."""
        return classify(status, headers, body, self.profile.errors)
