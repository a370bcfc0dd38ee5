"""What the dashboard shows and the service tells alike: computed here once."""
