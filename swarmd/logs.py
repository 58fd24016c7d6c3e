"""Log lines: to standard error, for people on a terminal and as JSON lines elsewhere, without
secrets.

Invariant: no line leaves this process with a known secret or something of the shape of one in it
(`core.model.masking`), whichever field, argument or traceback it came in with.

structlog costs some 80 ms to import. It is imported when a process configures its logs or writes
its first line, so verbs that only look and have nothing to say never pay for it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, TextIO

from swarmd.core.model.masking import Masking
from swarmd.log_events import LogEvent

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor


def masking_processor(masking: Masking) -> Processor:
    """Takes secrets out of everything that a line will show."""

    def mask(
        _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        for name in event:
            # structlog's own: the stdlib record behind a foreign line, taken out before rendering.
            if not name.startswith("_"):
                event[name] = masking.plain(event[name])
        return event

    return mask


def configure(
    *,
    level: str = "info",
    form: Literal["auto", "console", "json"] = "auto",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Sends all log lines of this process, those of libraries included, to `stream` (standard
    error).

    `auto` is console where the stream is a terminal. Libraries are heard from `warning` up whatever
    the level, since what they say below that is about themselves (and, of HTTP clients, holds whole
    requests).
    """
    import structlog

    processors = _configure_own(level, form, Masking(secrets), stream)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors],
        )
    )
    logging.basicConfig(level=max(_number(level), logging.WARNING), handlers=[handler], force=True)


def logger(name: str) -> FilteringBoundLogger:
    """The logger of a module: `logs.logger(__name__)` where a line is written, not at import.

    Where nothing was configured, structlog's own default would print to standard output, which is
    for data.
    """
    import structlog

    if not structlog.is_configured():
        _configure_own("info", "auto", Masking(), None)
    bound: FilteringBoundLogger = structlog.get_logger().bind(logger=name)
    return bound


def _configure_own(
    level: str, form: str, masking: Masking, stream: TextIO | None
) -> list[Processor]:
    import structlog

    processors = [*_before_rendering(masking), *_renderer(form, stream or sys.stderr)]
    structlog.configure(
        processors=[structlog.processors.add_log_level, *processors],
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        # Looked up for each line: whoever replaces standard error (a progress display) means this
        # too.
        logger_factory=lambda *_: structlog.WriteLogger(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    return processors


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _before_rendering(masking: Masking) -> list[Processor]:
    import structlog

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # The traceback becomes text before the masking, so that it is masked too.
        structlog.processors.format_exc_info,
        _name_event,
        masking_processor(masking),
    ]


def _name_event(
    _logger: Any, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """What is read by people is `message`, and `event` is the key of a line of our own."""
    told = line.pop("event")
    line["message"] = told.meaning if isinstance(told, LogEvent) else told
    if isinstance(told, LogEvent):
        line["event"] = told.value
    return line


def _renderer(form: str, stream: TextIO) -> list[Processor]:
    import structlog

    is_terminal = stream.isatty()
    if form == "json" or (form == "auto" and not is_terminal):
        return [structlog.processors.JSONRenderer()]
    has_colors = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    # The plain formatter: rich's would print the local variables of each frame, prompts and keys
    # included.
    return [
        structlog.dev.ConsoleRenderer(
            colors=has_colors,
            exception_formatter=structlog.dev.plain_traceback,
            sort_keys=False,
            event_key="message",
        )
    ]
