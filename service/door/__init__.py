"""Who and what is let in: keys, rates, bodies, uploads, headers."""
