"""The scene that `turnout demo` plays: a set of simulated providers, a client, and steps that are verified."""
