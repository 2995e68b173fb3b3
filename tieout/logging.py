"""Logs: an event name and its keys. For people on a terminal, one JSON object a line anywhere else; always on
standard error.
"""

import logging
import sys
from typing import Any

import structlog


def configure(level: str = "info", *, terminal: bool | None = None) -> None:
    """Set up structlog once, at the edge. Ids are bound there and travel by context."""
    for_people = sys.stderr.isatty() if terminal is None else terminal
    renderer: Any = structlog.dev.ConsoleRenderer() if for_people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # The standard error of the moment, for a program that runs ours may have put another in its place.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
