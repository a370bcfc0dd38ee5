"""The week on one page, to be mailed: HTML that needs nothing else, or a PDF of it."""
