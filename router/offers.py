"""What a request may choose from: the models it means, each with its endpoints as preferences leave them."""

from __future__ import annotations

from dataclasses import replace

from msgspec import Struct

from config.preferences import Preferences
from config.schema import PreferenceSets
from router.ask import NO_PREFERENCES, Ask
from router.catalogue import Catalogue, Resolved
from router.errors import UnknownModel
from router.exclusion import Sieve, sieve
from router.preferences import Effective, for_model, merge


class Choice(Struct, frozen=True, eq=False, gc=False):
    """The models of a request in order; never empty."""

    models: tuple[str, ...]
    """Catalogue ids."""
    sieves: tuple[Sieve, ...]


MOST_REMEMBERED = 512
"""Choices of requests that have preferences or fallbacks of their own: clients send the same ones again and again."""


class Offers:
    """One configuration's. Every choice is made once, not once a request."""

    def __init__(self, catalogue: Catalogue, preferences: PreferenceSets) -> None:
        self._catalogue = catalogue
        self._sets = preferences
        self._preferences: dict[str, Effective] = {}
        """By model id."""
        self._plain: dict[str, Choice] = {}
        """By name as clients write it; only names that are known, so there are no more than a few a model."""
        self._own: dict[tuple[tuple[str, ...], bool, int], tuple[Preferences, Choice]] = {}
        """By names, and by the identity of the preferences, which are held so that it stays theirs."""

    def of(self, ask: Ask) -> Choice:
        """The models of a request in order: those it names, else its model and the catalogue's fallbacks for it.

        Raises UnknownModel.
        """
        preferences = ask.preferences
        if not ask.named_fallbacks and preferences is NO_PREFERENCES:
            plain = self._plain.get(ask.models[0])
            if plain is None:
                plain = self._plain[ask.models[0]] = self._choice(ask)
            return plain
        key = (ask.models, ask.named_fallbacks, id(preferences))
        held = self._own.get(key)
        if held is None:
            if len(self._own) >= MOST_REMEMBERED:
                self._own.clear()
            held = self._own[key] = preferences, self._choice(ask)
        return held[1]

    def _choice(self, ask: Ask) -> Choice:
        models = resolve(ask, self._catalogue)
        sieves = [self._sieve(resolved, ask.preferences) for resolved in models]
        return Choice(tuple([one.model.id for one in models]), tuple(sieves))

    def _sieve(self, resolved: Resolved, preferences: Preferences) -> Sieve:
        model = resolved.model
        rules = merge(self.preferences(model.id), preferences)
        if resolved.sort:
            rules = replace(rules, sort=resolved.sort)
        return sieve(model, rules)

    def preferences(self, model_id: str) -> Effective:
        """The YAML's preferences for a model, merged once."""
        found = self._preferences.get(model_id)
        if found is None:
            found = self._preferences[model_id] = for_model(self._sets, model_id)
        return found


def resolve(ask: Ask, catalogue: Catalogue) -> list[Resolved]:
    """The models of a request in order. Raises UnknownModel."""
    named: list[Resolved] = []
    for name in ask.models:
        resolved = catalogue.resolve(name)
        if resolved is None:
            raise _unknown(name, catalogue)
        if all(resolved.model is not other.model for other in named):
            named.append(resolved)
    if ask.named_fallbacks:
        return named
    first = named[0]
    fallbacks = (catalogue.models[id_] for id_ in first.model.fallbacks)
    return named + [Resolved(model, first.sort) for model in fallbacks if model is not first.model]


def _unknown(name: str, catalogue: Catalogue) -> UnknownModel:
    nearest = catalogue.nearest(name)
    hint = f" Did you mean {' or '.join(nearest)}?" if nearest else " See GET /v1/models."
    return UnknownModel(f"{name[:200]} is not a valid model ID.{hint}", param="model", metadata={"nearest": nearest})
