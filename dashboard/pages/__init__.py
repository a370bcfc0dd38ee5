"""One module a page: `draw(facts, ...)` gives what is shown."""
