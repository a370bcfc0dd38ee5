"""How a day's counts are judged: detectors, what they hold classes to, what rules would do."""
