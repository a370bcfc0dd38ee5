"""The monitor: examines every class every day."""
