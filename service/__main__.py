"""`python -m service`: the HTTP service alone, configured by its environment."""

import sys

from core import logs
from core.errors import UsageError, WeakspotError
from core.settings import HomeSettings, ServiceSettings
from service.app import run


def main() -> int:
    """Serve until told to stop; return the exit code."""
    home = HomeSettings()  # pyright: ignore[reportCallIssue] - the environment fills it
    logs.configure(home.log_level, home.log_format)
    try:
        run(home, ServiceSettings())  # pyright: ignore[reportCallIssue] - likewise
    except WeakspotError as error:
        sys.stderr.write(f"weakspot: {error}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
