"""Something that stands in the way for a while, as a database that is away: told when it begins and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from hanok.errors import StoreError


class Trouble:
    """Of one kind of work that is tried again and again. `begun` takes what is wrong."""

    def __init__(self, log: logging.Logger, *, begun: str, over: str) -> None:
        self._log = log
        self._begun = begun
        self._over = over
        self._is_there = False

    @contextmanager
    def told(self) -> Generator[None]:
        """Try it: where the store cannot be used that is told, once, and nothing raised."""
        try:
            yield
        except StoreError as error:
            if not self._is_there:
                self._log.error(self._begun, error.message)
            self._is_there = True
        else:
            if self._is_there:
                self._log.warning(self._over)
            self._is_there = False
