"""Pictures: from untrusted bytes to the one tensor that every program agrees on."""
