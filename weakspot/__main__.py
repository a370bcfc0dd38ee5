"""`python -m weakspot` is the `weakspot` command."""

from weakspot.cli import main

if __name__ == "__main__":
    main()
