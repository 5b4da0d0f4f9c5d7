"""A command starts without what it does not need: each of its users, and shell completion, waits for its imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import agentbridge

TOP = Path(agentbridge.__file__).parent
HEAVY = (
    "aiohttp",
    "asyncio",
    "asyncpg",
    "fastapi",
    "panoramisk",
    "PIL",
    "pydantic",
    "rich",
    "structlog",
    "tenacity",
    "agentbridge.model",
    "agentbridge.reconcile.writer",
)


def test_the_command_line_starts_without_what_takes_long_to_import() -> None:
    program = f"import sys, agentbridge.cli.app; print(*(set({HEAVY!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_a_command_whose_parts_log_sends_that_to_standard_error() -> None:
    """The log's own default is standard output, where the result is."""
    imports = {module: set(_imported(file, at_the_top=True)) for module, file in _modules().items()}
    for module, file in _modules().items():
        if module.startswith("agentbridge.cli.") and not _logs(module, imports):
            inner = [name for name in _imported(file, at_the_top=False) if _logs(name, imports)]
            text = file.read_text("utf-8")
            assert not inner or "log_to_stderr(" in text or "logs.configure(" in text, f"{module} imports {inner}"


def _modules() -> dict[str, Path]:
    """Returns the files of our modules, by name."""
    names = {file: (TOP.name, *file.relative_to(TOP).with_suffix("").parts) for file in TOP.rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): file for file, parts in names.items()}


def _imported(file: Path, *, at_the_top: bool) -> Iterator[str]:
    """Yields the modules that a file imports when it is itself imported, or only in its functions."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in tree.body if at_the_top else ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{name.name}" for name in names)
            case _:
                pass


def _logs(module: str, imports: dict[str, set[str]]) -> bool:
    """Whether importing this module imports structlog."""
    seen, left = set(), [module]
    while left:
        seen.add(name := left.pop())
        left += imports.get(name, set()) - seen
    return "structlog" in seen
