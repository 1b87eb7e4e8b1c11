"""Carrying on a stream that broke after content, so that its client sees one whole answer or an error, never less."""
