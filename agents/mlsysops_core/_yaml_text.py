"""The text of a YAML file: from bytes to characters, and faults that the parser finds in it."""

from __future__ import annotations

import re

import yaml

from mlsysops_core.errors import Fault, InvalidInput

__all__ = ["character_fault", "decode", "join_surrogates", "syntax_fault"]


def decode(data: bytes | str, source: str, max_bytes: int) -> str:
    size = len(data)
    if size > max_bytes:
        message = f"the file is too large: {size / 1e6:.1f} MB, at most {max_bytes / 1e6:.1f} MB are read"
        raise InvalidInput(faults=[Fault(source, 0, 0, "", message, "split it, or check that this is the right file")])
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        message = f"the file is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        raise InvalidInput(faults=[Fault(source, line, column, "", message, "save it as UTF-8")]) from error


# A pair of escaped surrogates, or an escaped backslash, which hides what follows it.
_SURROGATES = re.compile(r"\\\\|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def join_surrogates(text: str) -> str:
    """Writes JSON's pairs of escaped surrogates (RFC 8259 section 7) as one character; YAML has no such pairs."""
    if text.lstrip()[:1] not in {"{", "["} or "\\u" not in text:
        return text

    def join(match: re.Match[str]) -> str:
        high, low = match.groups()
        return match[0] if high is None else chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)

    return _SURROGATES.sub(join, text)


def syntax_fault(error: yaml.MarkedYAMLError, text: str, source: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    message = ", ".join(part for part in (error.problem, error.context) if part) or "the file is not YAML"
    hint = ""
    if mark is not None:
        lines = text.split("\n", mark.line + 1)
        row = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in row[: len(row) - len(row.lstrip())] or row[mark.column : mark.column + 1] == "\t":
            message, hint = "a tab indents this line", "YAML is indented with spaces only"
        elif "mapping values are not allowed" in message:
            hint = "check the indentation of this line, and quote texts that hold ': '"
    return Fault(source, line, column, "", message, hint)


# What YAML 1.2 section 5.1 counts as printable, plus what the parser takes as line breaks.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def character_fault(text: str, source: str) -> Fault:
    match = _UNPRINTABLE.search(text)
    start = match.start() if match else 0
    line = text.count("\n", 0, start) + 1
    column = start - text.rfind("\n", 0, start)
    what = (
        f"character U+{ord(text[start]):04X} is not allowed in YAML"
        if match
        else "the file holds characters that YAML forbids"
    )
    return Fault(source, line, column, "", what, "is this a text file?")
