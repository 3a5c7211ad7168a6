"""Exceptions that GeneT5 raises for bad input. File system failures are plain :class:`OSError`."""

from __future__ import annotations

from os import PathLike


class GeneT5Error(Exception):
    """Base class; the message is one sentence that says what is wrong, where, and what to do."""


class InputError(GeneT5Error, ValueError):
    """Values given by the user do not fit together."""


class FormatError(InputError):
    """A file's content is wrong: ``file`` names it, ``line`` is the 1-based line (``None`` in binary files)."""

    def __init__(self, message: str, file: str | PathLike[str] | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


class UnavailableError(GeneT5Error):
    """What was asked for needs hardware or a package that is not here."""
