"""Nothing is lost before somebody has typed its name."""

from __future__ import annotations

import io
import sys

import pytest
from mlsysops_core.errors import Refused

from mlsysops_cli.actions.framework.confirm import confirm_slice


@pytest.mark.parametrize(
    ("typed", "why"), [("", "nobody confirmed"), ("\n", "nobody confirmed"), ("yes\n", "'yes' is not its name")]
)
def test_anything_but_the_name_refuses(
    typed: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(Refused, match=f"slice lab stays as it is: {why}"):
        confirm_slice("lab", "Everything of slice lab will be removed.")
    asked = capsys.readouterr()
    assert (asked.out, asked.err) == ("", "Everything of slice lab will be removed. Type its name to go on: \n")


def test_the_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("lab\n"))
    confirm_slice("lab", "It goes.")
