"""Postgres: a table and every question asked of it share one file.

Rows leave as frozen dataclasses; the connection is an argument, so the caller
owns the transaction. Never SQLite, never two dialects.
"""
