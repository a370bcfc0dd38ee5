"""The HTTP service: answers predictions and keeps each one."""
