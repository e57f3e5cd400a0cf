"""The YAML reader: places, YAML 1.2 scalars, and limits against hostile files."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.yaml import MAX_DEPTH, load_yaml, load_yaml_all


def fault_in(data: bytes | str, **options: int) -> Fault:
    with pytest.raises(InvalidInput) as caught:
        load_yaml(data, "app.yaml", **options)
    assert len(caught.value.faults) == 1
    assert "\n" not in str(caught.value)
    return caught.value.faults[0]


def test_values_know_their_line_and_column() -> None:
    document = load_yaml("a:\n  - b: 1\n    c:\n      d: x\n")
    assert document.locate(("a", 0, "b")) == (2, 8)
    assert document.locate(("a", 0, "b"), key=True) == (2, 5)
    assert document.locate(("a", 0, "c")) == (3, 5), "a block mapping is found at its key"
    assert document.locate(("a", 0, "c", "nowhere")) == (3, 5), "a path that leads nowhere ends at what exists"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("True", True),
        ("~", None),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("0777", "0777"),
        ("1e9", 1e9),
        ("0x10", 16),
        ("0o17", 15),
        ("-3", -3),
        (".5", 0.5),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert load_yaml(f"k: {text}").value == {"k": value}


def test_keys_are_text() -> None:
    assert load_yaml("1: a\ntrue: b\non: c").value == {"1": "a", "true": "b", "on": "c"}


def test_merge_keys_and_aliases() -> None:
    document = load_yaml("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nsame: *b\n")
    assert document.value["use"] == {"x": 1, "y": 3}
    assert document.value["same"] == {"x": 1, "y": 2}
    assert document.locate(("use", "x")) == (1, 14), "what came by merge is found where it was written"


def test_byte_order_mark_is_fine() -> None:
    assert load_yaml(b"\xef\xbb\xbfa: 1").value == {"a": 1}


@pytest.mark.parametrize(
    ("data", "line", "column", "message", "hint"),
    [
        (b"", 1, 1, "the file is empty", "holds no YAML"),
        (b"# nothing\n---\n", 1, 1, "the file is empty", "holds no YAML"),
        ("a: 1\nbé: \xff".encode("latin-1"), 2, 2, "not UTF-8: byte 0xe9", "save it as UTF-8"),
        (b"a: 1\n  b: 2", 2, 4, "mapping values are not allowed", "indentation"),
        (b"a:\n\t- 1", 2, 1, "a tab indents this line", "spaces only"),
        (b"a: 1\nb: 2\na: 3", 3, 1, "the key 'a' is there twice", "first on line 1"),
        (b"a: [1, 2", 2, 1, "did not find expected ',' or ']'", ""),
        (b"a: !env HOME", 1, 4, "the tag !env is not supported", "plain value"),
        (b"a: !!python/object:os.system x", 1, 4, "is not supported", ""),
        (b"a: !!int x", 1, 4, "'x' is no int", ""),
        (b"a: 1\n---\nb: 1", 3, 1, "a second document", "a file for each"),
        (b"a: *b", 1, 4, "*b has no anchor", ""),
        (b"a: &b [*b]", 1, 8, "inside its own anchor", ""),
        (b"[a]: b", 1, 1, "cannot be a key", ""),
        (b"a: \x07", 1, 4, "character U+0007", "text file"),
        (b"\x00\x01", 1, 1, "character U+0000", "text file"),
    ],
)
def test_bad_files_say_where_and_what(data: bytes, line: int, column: int, message: str, hint: str) -> None:
    fault = fault_in(data)
    assert (fault.line, fault.column) == (line, column), str(fault)
    assert message in fault.message
    assert hint in fault.hint
    assert fault.source == "app.yaml"


def test_lone_surrogates_are_refused() -> None:
    assert "U+D800" in fault_in("a: \ud800").message


def test_json_with_escaped_surrogates() -> None:
    assert load_yaml(r'{"a": "\ud83d\ude00", "b": "\\ud83d\\ude00"}').value == {"a": "\U0001f600", "b": r"\ud83d\ude00"}


def test_several_duplicate_keys_come_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        load_yaml("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n")
    assert [(fault.line, fault.column) for fault in caught.value.faults] == [(2, 1), (5, 3)]


def test_alias_bomb_is_defused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    fault = fault_in("\n".join(lines))
    assert "more than 200000 values" in fault.message
    assert "aliases" in fault.hint
    assert fault.line == 6


def test_deep_nesting_costs_no_stack() -> None:
    assert f"deeper than {MAX_DEPTH}" in fault_in("[" * 200_000).message


def test_too_many_values_stop_the_reading() -> None:
    fault = fault_in("- a\n" * 2_500_000)
    assert fault.line == 200_000
    assert "more than 200000 values" in fault.message


def test_size_limit() -> None:
    assert "too large: 0.0 MB" in fault_in(b"a: 12345", max_bytes=4).message


def test_ten_megabytes_of_text_are_read() -> None:
    text = "word " * 2_000_000
    assert len(load_yaml(f"a: '{text}'").value["a"]) == 10_000_000


def test_documents_of_a_stream() -> None:
    assert [d.value for d in load_yaml_all("a: 1\n---\n---\nb: 2\n...\n")] == [{"a": 1}, {"b": 2}]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), _VALUES, max_size=4))
def test_whatever_is_dumped_is_read_back(value: dict[str, object]) -> None:
    # Quoted and tagged: PyYAML leaves texts plain that are numbers in YAML 1.2 (1e5), and the other way round.
    assert load_yaml(yaml.safe_dump(value, default_style='"')).value == value


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        assert load_yaml_all(data)
