"""Output formats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from mlsysops_core.errors import UsageError

from mlsysops_cli.jsonpath import compile_template
from mlsysops_cli.output import Column, Table, age, emit, emit_document, render_table, to_yaml
from mlsysops_cli.settings import Settings

DATA: dict[str, Any] = {
    "items": [
        {"name": "a", "ready": True, "labels": {"mlsysops.eu/x": "1"}, "n": 3},
        {"name": "b", "ready": False, "labels": {}, "n": 7},
    ],
    "kind": "List",
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.items[*].name}", "a b"),
        ("{.items[0].name}", "a"),
        ("{.items[-1:].name}", "b"),
        ("{.items[-1].name}", "b"),
        ("{.items[5].name}", ""),
        ("{.items[0].labels.mlsysops\\.eu/x}", None),
        ("{.items[0].labels['mlsysops.eu/x']}", "1"),
        ('{range .items[*]}{.name}{"\\t"}{.n}{"\\n"}{end}', "a\t3\nb\t7\n"),
        ('{.items[?(@.name=="b")].n}', "7"),
        ("{.items[?(@.n>3)].name}", "b"),
        ("{.items[?(@.n>='x')].name}", ""),
        ("{.items[?(@.labels)].name}", "a b"),
        ("{..name}", "a b"),
        ("{.items[0].ready}", "true"),
        ("{.items[1].labels}", "{}"),
        ("kind: {.kind}!", "kind: List!"),
        (".kind", "List"),
        ("kind", "List"),
        ("{$.kind}", "List"),
        ("{.none.at.all}", ""),
        ("{range .items[*]}{.name}", None),
        ("{end}", None),
        ("{.items[*", None),
        ("{.items[?(@.a==b)]}", None),
        ("", None),
    ],
)
def test_jsonpath(template: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(UsageError):
            compile_template(template)
    else:
        assert compile_template(template)(DATA) == expected


def test_tables_are_aligned_and_have_no_trailing_blanks() -> None:
    assert render_table(["A", "LONG"], [["xxx", "y"], ["z", ""]]) == "A    LONG\nxxx  y\nz\n"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-20T10:00:00Z", "0s"),
        ("2026-11-20T09:58:01Z", "119s"),
        ("2026-11-20T09:58:00Z", "2m"),
        ("2026-11-20T08:00:00Z", "2h"),
        ("2026-11-18T10:00:00+00:00", "2d"),
        ("2026-11-20T10:00:09Z", "0s"),
        ("", "<unknown>"),
        ("soon", "<unknown>"),
    ],
)
def test_age(moment: str, expected: str) -> None:
    assert age(moment, now=datetime(2026, 11, 20, 10, tzinfo=UTC)) == expected


def test_yaml_keeps_the_order_and_writes_blocks() -> None:
    shared = {"x": 1}
    assert to_yaml({"b": shared, "a": shared, "text": "1\n2\n"}) == "b:\n  x: 1\na:\n  x: 1\ntext: |\n  1\n  2\n"


def test_a_closed_pipe_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import sys

    from mlsysops_cli.errors_render import render
    from mlsysops_cli.output import ClosedPipe, write
    from mlsysops_cli.settings import Settings

    class Gone:
        def write(self, _: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "broken pipe")

    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(ClosedPipe) as caught:
        write("text")
    monkeypatch.undo()
    assert render(caught.value, Settings()) == 141


def test_what_others_wrote_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2Jgone\x9b31m"
    table = Table(kind="thing", columns=(Column("NAME", "name"),))
    emit(Settings(), {"items": [{"name": hostile}]}, table)
    emit_document(Settings(), {"name": hostile}, kind="thing", text=f"Name: {hostile}\n")
    Settings().note(hostile)
    shown = capsys.readouterr()
    assert "gone" in shown.out
    assert not {"\x1b", "\x9b"} & {*shown.out, *shown.err}
    emit_document(Settings(output="jsonpath={.name}"), {"name": hostile}, kind="thing")
    assert capsys.readouterr().out == hostile, "data for programs is as it is"
