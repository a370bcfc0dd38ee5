"""The prediction log: rows committed before they are answered, and the spool."""
