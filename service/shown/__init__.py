"""What the dashboard shows, as JSON: the same rows, counted by the same code (core.shown)."""
