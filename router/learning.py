"""What answers teach about each model: how far our estimates of its prompts are off, and how much it writes."""

from __future__ import annotations

import math

from router.learned import UNKNOWN, Learned
from router.outcome import Outcome
from router.served import Served
from router.tokens import UNCERTAINTY, Estimate

MEMORY = 0.98
"""What a request's weight is multiplied by at each later one: the last fifty decide."""
PRIOR_WEIGHT = 2.0
"""Requests that what is assumed of an unknown model counts for."""
PRIOR_SPREAD = math.log1p(UNCERTAINTY) / 2
"""Standard deviation of log(reported / estimated) over models nothing is known of: UNCERTAINTY is twice it."""
FURTHEST = math.log(3)
"""A report more than three times off says nothing of the tokenizer."""
_PRIOR = PRIOR_WEIGHT * PRIOR_SPREAD**2
OUTLIER = 3.0
"""Standard deviations beyond which a report counts as if it were just there."""
OVERHEAD = 200
"""Tokens. What a provider adds of its own weighs on a short prompt, so a prompt of this length counts half."""
SURE = 0.05
"""The least uncertainty, however much was seen."""
ENOUGH_ANSWERS = 10
"""Whole answers before their mean length is used."""
STEADY = 200
"""Reports in a row that were no outliers before most are passed over: of a model that well known one more says little.
"""
ONE_OF = 8
"""Of how many answers one is then learned from, until it is an outlier: a real change is followed as ever from there.
What is less than one takes that many times as long."""
MOST_MODELS = 20_000


class _Running:
    """Of one model: the weighted mean and spread of log(reported / estimated), and the mean length of answers."""

    __slots__ = (
        "answers",
        "learned",
        "mean",
        "output",
        "passing",
        "predicted",
        "seen",
        "spread",
        "steady",
        "variance",
        "weight",
    )

    def __init__(self) -> None:
        self.weight = 0.0
        self.mean = 0.0
        self.variance = PRIOR_SPREAD**2
        """Around what was predicted, so that it holds the error of the mean too."""
        self.predicted = 0.0
        """The mean, drawn towards none by what is assumed of an unknown model."""
        self.spread = PRIOR_SPREAD
        """Standard deviation, what is assumed included."""
        self.answers = 0.0
        self.output = 0.0
        self.seen = 0
        self.steady = 0
        """Reports in a row that were no outliers."""
        self.passing = 0
        """Answers to pass over."""
        self.learned: Learned | None = None
        """None: something came since it was last asked for."""

    def prompt(self, estimated: int, reported: int) -> None:
        predicted, variance = self.predicted, self.variance
        error = _clamped(math.log(reported / estimated), FURTHEST) - predicted
        limit = max(OUTLIER * self.spread, PRIOR_SPREAD)
        self.steady = self.steady + 1 if -limit <= error <= limit else 0
        error = _clamped(error, limit)
        weight = estimated / (estimated + OVERHEAD)
        held = self.weight = self.weight * MEMORY + weight
        share = weight / held
        self.mean += share * (predicted + error - self.mean)
        self.variance = variance = variance + share * (error * error - variance)
        self.predicted = self.mean * held / (held + PRIOR_WEIGHT)
        self.spread = math.sqrt((held * variance + _PRIOR) / (held + PRIOR_WEIGHT))

    def answer(self, tokens: int) -> None:
        self.seen += 1
        self.answers = self.answers * MEMORY + 1
        self.output += (tokens - self.output) / self.answers

    def settled(self) -> Learned:
        uncertainty = max(SURE, math.expm1(2 * self.spread))
        output = self.output if self.seen >= ENOUGH_ANSWERS else None
        learned = self.learned = Learned(math.exp(self.predicted), uncertainty, output)
        return learned


def _clamped(value: float, limit: float) -> float:
    if value > limit:
        return limit
    return -limit if value < -limit else value


class Learning:
    """The experience of this process, by catalogue model. An observer of requests."""

    def __init__(self) -> None:
        self._models: dict[str, _Running] = {}

    def of(self, model_id: str) -> Learned:
        """What is known of a model now."""
        running = self._models.get(model_id)
        return UNKNOWN if running is None else running.learned or running.settled()

    def served(self, served: Served) -> None:
        """Learn from every attempt that answered whole and said what it used."""
        for outcome in served.attempts:
            self.learn(served.decision.ask.prompt, outcome)

    def learn(self, estimate: Estimate, outcome: Outcome) -> None:
        """Learn from one attempt at a prompt that was, uncorrected, estimated so."""
        usage = outcome.usage
        if outcome.error is not None or outcome.estimated or usage is None:
            return
        running = self._models.get(outcome.endpoint.model_id) or self._begun(outcome.endpoint.model_id)
        if running.passing:
            running.passing -= 1
            return
        if usage.prompt > 0 and not estimate.media:
            running.prompt(estimate.tokens, usage.prompt)
        if usage.completion > 0 and outcome.finish_reason != "length":
            # An answer that was cut off says how long it was allowed to be, not how long it wanted to be.
            running.answer(usage.completion)
        running.learned = None
        if running.steady >= STEADY:
            running.passing = ONE_OF - 1

    def _begun(self, model_id: str) -> _Running:
        if len(self._models) >= MOST_MODELS:
            # Only reloads that bring ever new models come here; the longest known goes.
            del self._models[next(iter(self._models))]
        running = self._models[model_id] = _Running()
        return running
