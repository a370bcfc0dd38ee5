"""The gate: its rule, its exam, its page of numbers, its later looks, and how often it errs."""
