"""Counts the embedded engine's lines by room: all of them, and those that are code.

Code are lines with something of the program on them: no blank lines, comments or docstrings. Tables are string constants of
many lines, data rather than logic. Run it from anywhere: ``python tests/tools/engine_size.py``.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

ENGINE = Path(__file__).parents[2] / "agents" / "mlsysops_embedded"
#: A string constant of so many lines is a table.
TABLE = 15
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def strings(tree: ast.AST) -> tuple[set[int], set[int]]:
    """Lines of docstrings, and lines of tables."""
    docs: set[int] = set()
    tables: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            docs.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if len(lines) >= TABLE:
                tables.update(lines)
    return docs, tables


def count(file: Path) -> Counter[str]:
    """Lines of one module."""
    text = file.read_text()
    docs, tables = strings(ast.parse(text))
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            used.update(range(token.start[0], token.end[0] + 1))
    return Counter(
        modules=1, lines=len(text.splitlines()), code=len(used - docs - tables), tables=len(tables & used - docs)
    )


def main() -> None:
    """Print the table."""
    rooms: dict[str, Counter[str]] = {}
    for file in sorted(ENGINE.rglob("*.py")):
        inner = file.relative_to(ENGINE).parts
        rooms.setdefault(inner[0] if len(inner) > 1 else "(top)", Counter()).update(count(file))
    total: Counter[str] = Counter()
    print("| room | modules | lines | code | tables |\n|---|---|---|---|---|")
    for room, found in sorted(rooms.items(), key=lambda item: -item[1]["code"]):
        total.update(found)
        print(f"| {room} | {found['modules']} | {found['lines']:,} | {found['code']:,} | {found['tables']:,} |")
    print(f"| all | {total['modules']} | {total['lines']:,} | {total['code']:,} | {total['tables']:,} |")


if __name__ == "__main__":
    main()
