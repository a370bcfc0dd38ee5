"""Every page in a real browser, which is started once and closed when the last of them is done."""
