"""What at least two of Weakspot's programs share."""
