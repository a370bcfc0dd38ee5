"""Many processes for HTTP before one with the model: what they share, and how they speak."""
