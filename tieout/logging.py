"""Configures structured logging on standard error: formatted on a terminal, else one JSON object per line.

`docs/logging.md` lists the events with their levels and keys.
"""

import logging
import sys
from typing import Any

import structlog


def configure(level: str = "info", *, terminal: bool | None = None) -> None:
    """Configure structlog for the process. `terminal` overrides the detection of a terminal."""
    formatted = sys.stderr.isatty() if terminal is None else terminal
    renderer: Any = structlog.dev.ConsoleRenderer() if formatted else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # Read sys.stderr for each logger, because a program that embeds this one may replace it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
