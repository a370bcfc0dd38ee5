"""The dashboard: charts the health of each class over time."""
