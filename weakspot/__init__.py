"""The one command; the only package that knows all programs."""
