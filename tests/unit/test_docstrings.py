"""Every class, and every function above a few lines, says what it does."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
A_FEW_LINES = 8


def unsaid(node: ast.AST, outer: str = "") -> Iterator[str]:
    """The names without a docstring; a function inside another one explains itself where it stands."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{outer}.{child.name}".lstrip(".")
            long = isinstance(child, ast.ClassDef) or (child.end_lineno or 0) - child.body[0].lineno >= A_FEW_LINES
            if long and ast.get_docstring(child) is None and child.name != "__init__":
                yield name
        if isinstance(child, ast.ClassDef):
            yield from unsaid(child, name)


def test_classes_and_longer_functions_say_what_they_do() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {name}"
        for folder in ("agentbridge", "lab")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for name in unsaid(ast.parse(file.read_text()))
    ]
    assert found == []
