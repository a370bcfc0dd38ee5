"""What lies ahead: how soon a drop would be noticed, what the next draw wants, what to expect."""
