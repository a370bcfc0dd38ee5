"""The model in service: loaded, swapped, fed in batches, asked."""
