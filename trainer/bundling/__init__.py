"""From a trained network to a registered version: figures, variants, model card."""
