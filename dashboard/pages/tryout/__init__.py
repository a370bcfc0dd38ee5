"""Asks the champion about a picture of one's own, on this server or in the browser alone."""
