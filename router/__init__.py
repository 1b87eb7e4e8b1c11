"""Deciding which provider serves a request, and serving it."""
