"""What no contract of import-linter can say: light imports, small files, names that shadow nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bots", "brain")
HEAVY = {"torch", "transformers", "tokenizers", "peft", "accelerate", "sqlmodel", "telegram", "discord"}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
LONG_ON_PURPOSE = {"brain/finetune/train.py"}  # the recipe, read top to bottom


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after one statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_loads_nothing_heavy() -> None:
    assert not loaded_by("import bots.cli") & (HEAVY | {"pydantic", "rich", "prompt_toolkit", "asyncio"})


@pytest.mark.parametrize(
    "module",
    ["bots.settings", "bots.characters", "bots.messages", "bots.registry", "bots.testing", "brain.dialogue"],
)
def test_a_module_without_tensors_loads_no_torch(module: str) -> None:
    assert not loaded_by(f"import {module}") & (HEAVY - {"tokenizers"})


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_noun(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    assert path.stem.startswith("__") or path.stem not in sys.stdlib_module_names
    if str(path.relative_to(ROOT)) not in LONG_ON_PURPOSE:
        too_long = [node.name for node in functions(path) if lines_of(node) > MAX_FUNCTION_LINES]
        assert not too_long


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_every_folder_of_sources_is_a_package() -> None:
    bare = {path.parent for path in sources() if not (path.parent / "__init__.py").is_file()}
    assert not bare


def test_no_package_under_tests() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
