"""What was told and done about it, and the rules that decide what is told."""
