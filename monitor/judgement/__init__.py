"""From a day's counts to what people are told: detectors, rules in force, flags, alerts."""
