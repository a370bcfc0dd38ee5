"""Images that people are asked to label, one large picture at a time."""
