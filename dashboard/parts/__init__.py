"""What pages are put together from: parts, charts, words."""
