"""How the classes do: all of them, and one."""
