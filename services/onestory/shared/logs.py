"""structlog set-up, and the redaction that stands behind the rule that no log line holds a person's data.

A log line is an event name plus ids. The rule is kept by the code that logs; the processor here is the net below it.
"""

from __future__ import annotations

import logging
import re
import sys

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# Ten digits in the shapes that people write NHS numbers in.
_TEN_DIGITS = re.compile(r"(?<![\w.-])\d{3}[ -]?\d{3}[ -]?\d{4}(?![\w-])")
_REDACTED = "[redacted]"


def configure(level: str = "info", log_format: str = "json") -> None:
    """Log to standard error: JSON lines, or `console` for people. Standard library loggers go the same way."""
    renderer = structlog.dev.ConsoleRenderer() if log_format == "console" else _json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries speak at warning and above: their lower levels print what passes through them.
    root.setLevel(logging.WARNING)


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=repr).decode()


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Bytes never, and nothing that looks like an NHS number."""
    return {key: _clean(value) for key, value in event.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return _TEN_DIGITS.sub(_REDACTED, value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _REDACTED
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_clean(item) for item in value]
    return value
