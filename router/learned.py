"""What experience says of a model, as planning uses it: how far prompt estimates are off, how long answers are."""

from __future__ import annotations

from msgspec import Struct

from router.tokens import IMAGE_TOKENS, UNCERTAINTY, Estimate


class Learned(Struct, frozen=True, gc=False):
    """What is known of one model."""

    ratio: float = 1.0
    """Tokens its provider reports for a token estimated."""
    uncertainty: float = UNCERTAINTY
    """How far a corrected estimate may be off, as a share of it."""
    output: float | None = None
    """Tokens of a typical answer, reasoning included; None: too few were seen."""

    def prompt(self, estimate: Estimate) -> Estimate:
        """The estimate as it is for this model. Media parts are not corrected."""
        if self is UNKNOWN:
            return estimate
        if not estimate.media:
            return Estimate(max(1, round(estimate.tokens * self.ratio)), self.uncertainty)
        media = estimate.media * IMAGE_TOKENS
        tokens = (estimate.tokens - media) * self.ratio + media
        return Estimate(max(1, round(tokens)), max(self.uncertainty, estimate.uncertainty), estimate.media)

    def completion(self, max_tokens: int | None, unknown: int) -> float:
        """Tokens of output to expect of a request; `unknown` where neither it nor experience says."""
        if self.output is None:
            return max_tokens or unknown
        return min(max_tokens, self.output) if max_tokens else self.output


UNKNOWN = Learned()


def nothing(model_id: str) -> Learned:
    """For planning without experience."""
    return UNKNOWN
