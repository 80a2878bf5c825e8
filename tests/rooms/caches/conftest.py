"""What tests of caches share: an engine that counts what it is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine import FakeEngine, fake_engine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as running:
        yield running
