"""Bounds of a mission's files, all of them, each with its reason."""

from __future__ import annotations

from typing import Final

# The longest text that `file/write` takes is 1,000,000 characters, at most 4 bytes each: what can
# be written can be read. A text file larger than this is data, and would fill a prompt many times
# over.
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
WRITE_BYTES_MAX: Final = FILE_BYTES_MAX
# One read goes into one prompt: 64 KB is about 16,000 tokens, more is a question for a search.
READ_BYTES_MAX: Final = 64 * 1024
# An agent that writes in a loop must not fill a volume that every mission shares.
WORK_FILES_MAX: Final = 2_000
WORK_BYTES_MAX: Final = 256 * 1024 * 1024
# What is handed over of a mission: all that it may have written fits.
HANDED_BYTES_MAX: Final = WORK_BYTES_MAX
# A snapshot is copied before the mission starts, while somebody waits at a terminal.
GIVEN_FILES_MAX: Final = 10_000
GIVEN_BYTES_MAX: Final = 256 * 1024 * 1024
# The knowledge folder is the operator's and may be anything; a listing of it stays a second's work.
LISTED_MAX: Final = 20_000
DEPTH_MAX: Final = 32  # folders below one another; each costs an open folder while it is walked
NAME_BYTES_MAX: Final = (
    255  # what common file systems take; said here in words instead of ENAMETOOLONG
)
NAME_CHARS_MAX: Final = (
    512  # a whole name, folders included: moves and charters hold no longer ones
)
SNIFF_BYTES: Final = 8 * 1024  # a NUL in these means binary, as git decides it
# What was passed over when files were given or listed is kept to be told: more of it is told by its
# number.
LEFT_OUT_MAX: Final = 200

assert WRITE_BYTES_MAX <= FILE_BYTES_MAX, "what is written must be readable"
assert READ_BYTES_MAX <= FILE_BYTES_MAX
