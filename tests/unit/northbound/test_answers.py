"""Answers to repeated writes outlive the process that gave them, for a day; what happens to their file hurts nobody."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlsysops_core.errors import InvalidInput
from mlsysops_northbound import __main__ as program
from mlsysops_northbound.idempotency import Idempotency
from starlette.requests import Request
from starlette.responses import Response

DAY = 24 * 3600.0


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def request(key: str = "k", path: str = "/v1/apps") -> Request:
    headers = [(b"idempotency-key", key.encode())]
    return Request({"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers})


class Writes:
    """Counts how often something was really done."""

    done = 0

    async def __call__(self) -> Response:
        self.done += 1
        return Response(f"written {self.done}", status_code=201)


async def repeat(path: Path, writes: Callable[[], Any], clock: Clock | None = None) -> bytes:
    """The answer of a process that begins now and ends after it."""
    answers = Idempotency(path, clock=clock or Clock())
    try:
        return bytes((await answers.once(request(), b"body", writes)).body)
    finally:
        answers.close()


async def test_another_process_gives_the_first_answer_for_a_day(tmp_path: Path) -> None:
    writes, clock = Writes(), Clock()
    for _ in range(3):
        assert await repeat(tmp_path / "n.sqlite", writes, clock) == b"written 1"
        clock.now += DAY / 2 - 1
    assert await repeat(tmp_path / "n.sqlite", writes, clock) == b"written 2"


@pytest.mark.parametrize("damage", [b"no database at all" * 100, None])
async def test_a_damaged_file_is_put_aside(tmp_path: Path, damage: bytes | None, caplog: Any) -> None:
    path, writes = tmp_path / "n.sqlite", Writes()
    await repeat(path, writes)
    data = path.read_bytes()
    path.write_bytes(damage if damage is not None else data[:4096] + b"\xff" * (len(data) - 4096))
    assert await repeat(path, writes) == b"written 2"
    assert await repeat(path, writes) == b"written 2"
    assert (tmp_path / "n.sqlite.damaged").exists()
    assert "is put aside" in caplog.text


async def test_without_a_place_answers_are_remembered_by_the_process(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "file").write_text("")
    answers, writes = Idempotency(tmp_path / "file" / "n.sqlite"), Writes()
    for _ in range(2):
        assert (await answers.once(request(), b"body", writes)).body == b"written 1"
    answers.close()
    assert "until this process ends" in caplog.text


async def test_what_is_done_is_told_as_done_where_it_cannot_be_remembered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, writes = tmp_path / "n.sqlite", Writes()
    answers = Idempotency(path)
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE answers")
        other.execute(
            "CREATE VIEW answers AS SELECT 1 AS key, 1 AS digest, 1 AS status, 1 AS headers, 1 AS body, 1 AS at"
        )
    other.close()
    with caplog.at_level(logging.ERROR):
        assert (await answers.once(request(), b"body", writes)).status_code == 201
    answers.close()
    assert "is not remembered" in caplog.text


async def test_a_key_belongs_to_one_request(tmp_path: Path) -> None:
    await repeat(tmp_path / "n.sqlite", Writes())
    answers = Idempotency(tmp_path / "n.sqlite", clock=Clock())
    with pytest.raises(InvalidInput, match="used for another request"):
        await answers.once(request(path="/v1/infra"), b"body", Writes())
    answers.close()


def test_a_state_directory_is_given_to_who_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state, config = tmp_path / "state", tmp_path / "northbound.yaml"
    config.write_text(f"{{slice: s, kubeconfig: /none, token_file: /none, state_dir: {state}}}\n")
    given: list[tuple[Path, int, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((Path(path), uid, gid)))
    monkeypatch.setattr(sys, "argv", ["northbound", "--config", str(config), "--own-state", "65532"])
    assert program.main() == 0
    assert given == [(state, 65532, 65532)]
    assert state.stat().st_mode & 0o777 == 0o700
    # What is theirs already is left alone: whoever runs this may not even look into it.
    monkeypatch.setattr(sys, "argv", ["northbound", "--config", str(config), "--own-state", str(os.geteuid())])
    assert program.main() == 0
    assert len(given) == 1

    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(sys, "argv", ["northbound", "--config", str(config), "--own-state", "65532"])
    assert program.main() == 5
    assert "cannot give" in capsys.readouterr().err
