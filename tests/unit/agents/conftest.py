"""What every test of the agents has in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mlsysops_agents.loop import SqliteKnowledge


@pytest.fixture(autouse=True)
def close_knowledge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes the stores a test made: from Python 3.13 on, a connection left to the garbage collector is a warning, and a warning an error."""
    opened: list[SqliteKnowledge] = []
    initialize = SqliteKnowledge.__init__

    def initialize_and_remember(self: SqliteKnowledge, *args: Any, **kwargs: Any) -> None:
        initialize(self, *args, **kwargs)
        opened.append(self)

    monkeypatch.setattr(SqliteKnowledge, "__init__", initialize_and_remember)
    yield
    for store in opened:
        store.close()
