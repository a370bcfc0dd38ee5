"""The verbs of the command, by subject; each is a thin front door to a program's own function."""
