"""Statistics in plain numpy and scipy: detectors, intervals, calibration, tests, scores.

Nothing in this room knows a database, a model runtime or the time of day.
"""
