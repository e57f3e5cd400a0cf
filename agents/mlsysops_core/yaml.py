"""YAML for machines: the C parser, line and column of every value, and limits that hold against hostile files.

Scalars follow the YAML 1.2 core schema, not 1.1: ``on``, ``off``, ``yes`` and ``no`` are text, ``1e9`` is a number, ``12:30`` and
``2026-01-01`` are text. Keys are always text. Merge keys (``<<``) work. The text is read as a stream of events, so that every limit
stops the reading where it is crossed and nesting costs no stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.reader import ReaderError

from mlsysops_core._yaml_text import character_fault, decode, join_surrogates, syntax_fault
from mlsysops_core.errors import Fault, InvalidInput

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "Document", "load_yaml", "load_yaml_all", "path_text"]

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 200_000
"""Most values of one file, aliases expanded; a large slice has some thousands."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_MAX_DIGITS = 64
_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class _Node:
    """A value with its place; `children` mirror a mapping or a list."""

    value: Any
    line: int
    column: int
    children: dict[str, _Node] | list[_Node] | None = None
    keys: dict[str, tuple[int, int]] | None = None
    size: int = 1


@dataclass(slots=True)
class Document:
    """One YAML document.

    Attributes:
        value: Plain dicts (text keys), lists, str, int, float, bool and None.
        source: File name or URL, for faults.
    """

    value: Any
    source: str
    root: _Node = field(repr=False)

    def locate(self, path: Sequence[str | int], *, key: bool = False) -> tuple[int, int]:
        """Finds a value in the text.

        Args:
            path: Keys and indices from the root; where it leads nowhere, the last part that exists counts.
            key: Ask for the place of the last key rather than of its value.

        Returns:
            1-based line and column.
        """
        node, place = self.root, (self.root.line, self.root.column)
        for position, part in enumerate(path):
            children = node.children
            if isinstance(children, dict) and part in children:
                of_key = (node.keys or {}).get(str(part), place)
                node = children[str(part)]
                # A block mapping or list starts on the line below, and nothing at all has no place: people look at the key.
                last = position == len(path) - 1
                nowhere = node.children is not None or node.value is None
                place = of_key if (key and last) or nowhere else (node.line, node.column)
            elif isinstance(children, list) and isinstance(part, int) and 0 <= part < len(children):
                node = children[part]
                place = (node.line, node.column)
            else:
                break
        return place

    def fault(self, path: Sequence[str | int], message: str, hint: str = "", *, key: bool = False) -> Fault:
        """Makes a fault that points at the value at `path`."""
        line, column = self.locate(path, key=key)
        return Fault(self.source, line, column, path_text(path), message, hint)


def path_text(path: Iterable[str | int]) -> str:
    """Writes a path the way people read it: ``components[0].ports[1].protocol``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def load_yaml(data: bytes | str, source: str = "<stdin>", *, max_bytes: int = MAX_BYTES) -> Document:
    """Reads a file that holds exactly one document.

    Raises:
        InvalidInput: As `load_yaml_all`; also where there are several documents.
    """
    documents = load_yaml_all(data, source, max_bytes=max_bytes)
    if len(documents) > 1:
        second = documents[1].root
        fault = Fault(
            source, second.line, second.column, "", "a second document starts here", "keep one, or use a file for each"
        )
        raise InvalidInput(faults=[fault])
    return documents[0]


def load_yaml_all(data: bytes | str, source: str = "<stdin>", *, max_bytes: int = MAX_BYTES) -> list[Document]:
    """Reads a file of one or more documents; empty documents between ``---`` are left out.

    Args:
        data: The text; bytes must be UTF-8 (a byte order mark is fine).
        source: Name of the file, for faults.
        max_bytes: Largest size accepted.

    Returns:
        At least one document.

    Raises:
        InvalidInput: Too large, not UTF-8, empty, not YAML, duplicate keys, unknown tags, nested deeper than `MAX_DEPTH`, more than
            `MAX_VALUES` values with aliases expanded. Faults carry line and column.
    """
    text = join_surrogates(decode(data, source, max_bytes))
    reader = _Reader(source)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(faults=[character_fault(text, source)]) from error
    try:
        documents = reader.read(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        raise InvalidInput(faults=[*reader.faults, syntax_fault(error, text, source)]) from error
    except ReaderError as error:
        raise InvalidInput(faults=[character_fault(text, source)]) from error
    if reader.faults:
        raise InvalidInput(faults=sorted(reader.faults))
    documents = [document for document in documents if document.value is not None]
    if not documents:
        raise InvalidInput(faults=[Fault(source, 1, 1, "", "the file is empty", "it holds no YAML document")])
    return documents


class _Stop(Exception):
    """A limit was crossed; the fault is recorded already."""


@dataclass(slots=True)
class _Frame:
    """A collection that is still open."""

    node: _Node
    anchor: str | None
    key: str | None = None
    key_place: tuple[int, int] = (0, 0)
    merges: list[_Node] = field(default_factory=list)


class _Reader:
    """Builds documents from parser events."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[Fault] = []
        self._values = 0
        self._anchors: dict[str, _Node | None] = {}
        self._stack: list[_Frame] = []
        self._root: _Node | None = None

    def read(self, events: Iterator[yaml.Event]) -> list[Document]:
        documents: list[Document] = []
        handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
        }
        try:
            for event in events:
                handler = handlers.get(type(event))
                if handler is not None:
                    handler(event)
                elif isinstance(event, yaml.DocumentEndEvent) and self._root is not None:
                    documents.append(Document(self._root.value, self.source, self._root))
                    self._root = None
                    self._anchors.clear()
        except _Stop:
            return []
        return documents

    def _fault(self, event: Any, message: str, hint: str = "") -> None:
        self.faults.append(
            Fault(self.source, event.start_mark.line + 1, event.start_mark.column + 1, "", message, hint)
        )

    def _count(self, event: Any, size: int) -> None:
        self._values += size
        if self._values > MAX_VALUES:
            why = "aliases (*name) multiply it" if size > 1 else "check that this is the right file"
            self._fault(event, f"the file holds more than {MAX_VALUES} values", why)
            raise _Stop

    def _scalar(self, event: Any) -> None:
        self._count(event, 1)
        mark, value = event.start_mark, event.value
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and isinstance(frame.node.children, dict):
            if event.anchor is not None:
                self._anchors[event.anchor] = _Node(value, mark.line + 1, mark.column + 1)
            self._key(frame, event, "<<" if value == "<<" and event.implicit[0] else value)
            return
        if event.implicit[0]:
            value = _resolve(value)
        elif event.tag is not None and not event.implicit[1]:
            value = self._tagged(event)
        self._add(_Node(value, mark.line + 1, mark.column + 1), event.anchor)

    def _tagged(self, event: Any) -> Any:
        kind = event.tag.removeprefix(_TAG) if event.tag != "!" else "str"
        if kind == "str":
            return event.value
        value = _resolve(event.value)
        wanted: dict[str, tuple[type, ...]] = {
            "int": (int,),
            "float": (int, float),
            "bool": (bool,),
            "null": (type(None),),
        }
        if kind not in wanted:
            self._fault(event, f"the tag {event.tag} is not supported", "write the plain value")
        elif not isinstance(value, wanted[kind]) or (kind != "bool" and isinstance(value, bool)):
            self._fault(event, f"{event.value!r} is no {kind}")
        return value

    def _key(self, frame: _Frame, event: Any, key: str) -> None:
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        keys = frame.node.keys
        if keys is not None and key in keys:
            self._fault(event, f"the key {key!r} is there twice", f"first on line {keys[key][0]}; keep one")
        frame.key, frame.key_place = key, place

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            self._fault(event, f"the alias *{event.anchor} has no anchor", f"mark a value with &{event.anchor} above")
            raise _Stop
        node = self._anchors[event.anchor]
        if node is None:
            self._fault(event, f"the alias *{event.anchor} stands inside its own anchor", "a value cannot hold itself")
            raise _Stop
        self._count(event, node.size)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and isinstance(frame.node.children, dict):
            self._key(frame, event, str(node.value))
            return
        self._add(node, None)

    def _open(self, event: Any) -> None:
        self._count(event, 1)
        if len(self._stack) >= MAX_DEPTH:
            self._fault(event, f"the file is nested deeper than {MAX_DEPTH} levels")
            raise _Stop
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and isinstance(frame.node.children, dict):
            self._fault(event, "a mapping or a list cannot be a key", "quote texts that begin with { or [")
            raise _Stop
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag is not None and event.tag not in {"!", f"{_TAG}map" if mapping else f"{_TAG}seq"}:
            self._fault(event, f"the tag {event.tag} is not supported", "write the plain value")
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        node = _Node({}, line, column, {}, {}) if mapping else _Node([], line, column, [])
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Frame(node, event.anchor))

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        for source in frame.merges:
            self._merge(frame.node, source)
        self._add(frame.node, frame.anchor)

    @staticmethod
    def _merge(target: _Node, source: _Node) -> None:
        if isinstance(source.children, dict) and isinstance(target.children, dict) and target.keys is not None:
            for key, child in source.children.items():
                if key not in target.children:
                    target.children[key] = child
                    target.value[key] = child.value
                    target.keys[key] = (source.keys or {})[key]
                    target.size += child.size

    def _add(self, node: _Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        parent = frame.node
        parent.size += node.size
        if isinstance(parent.children, list):
            parent.children.append(node)
            parent.value.append(node.value)
            return
        key, frame.key = frame.key, None
        if key is None or parent.children is None or parent.keys is None:
            raise AssertionError("the parser sent a value without its key")
        if key == "<<":
            sources = node.children if isinstance(node.children, list) else [node]
            if all(isinstance(source.children, dict) for source in sources):
                frame.merges.extend(sources)
                return
        parent.children[key] = node
        parent.value[key] = node.value
        parent.keys[key] = frame.key_place


def _resolve(text: str) -> Any:
    """Gives a plain scalar its type by the YAML 1.2 core schema (section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789" and len(text) <= _MAX_DIGITS:
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
        if _BASED.match(text):
            return int(text, 0)
    return text
