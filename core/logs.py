"""One way of logging for every program: key=value lines or JSON, on stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

LogFormat = Literal["text", "json"]

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_CHATTY = (
    "httpx",
    "httpcore",
    "apscheduler",
    "alembic",
    "PIL",
    "matplotlib",
    "numba",
    "onnx_ir",
    "onnxscript",
)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line; what was passed as `extra` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class _TextFormatter(logging.Formatter):
    """A line for people: time, level, logger, message, then key=value."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        extra = "".join(
            f" {key}={value}" for key, value in record.__dict__.items() if key not in _STANDARD
        )
        line = f"{at} {record.levelname.lower():7} {record.name}: {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: str = "INFO", log_format: LogFormat = "text") -> None:
    """Send every record of this process to stderr in the one format, and quieten the chatty."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextmanager
def configured(level: str = "INFO", log_format: LogFormat = "text") -> Generator[None]:
    """Log as `configure` has it until the block ends: for a verb that may take long."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure(level, log_format)
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
