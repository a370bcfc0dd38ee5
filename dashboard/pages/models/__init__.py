"""The versions: where each comes from, how two compare, and which of them serves."""
