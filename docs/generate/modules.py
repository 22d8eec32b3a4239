"""The tree of the package, its doors and its import rules. Read from the files; nothing is imported."""

import ast
import tomllib
from collections.abc import Callable
from pathlib import Path

from docs.generate.tables import first_line, table

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "urgency_dagster"
BENCHMARKS = ROOT / "benchmarks"
SUBJECTS = ("calls", "urgency", "attention", "listening", "scoring", "serving")


def module_tables() -> str:
    """A table for each folder of the package and for the benchmarks, with the first line of each docstring."""
    rooms = [PACKAGE, *sorted(file.parent for file in PACKAGE.glob("*/__init__.py")), BENCHMARKS]
    return "\n\n".join(_room(room) for room in rooms)


def _room(room: Path) -> str:
    """The modules of a folder and, except at the top, of the folders in it."""
    modules = sorted(room.glob("*.py")) if room == PACKAGE else sorted(room.rglob("*.py"), key=_folders_last(room))
    rows = [_row(module, room) for module in modules if module.parent != room or module.name != "__init__.py"]
    name = room.relative_to(ROOT).as_posix()
    return f"### `{name}/`\n\n{summary_of(room / '__init__.py')}\n\n{table(['file', 'what it does'], rows)}"


def _folders_last(room: Path) -> Callable[[Path], tuple[bool, str]]:
    return lambda module: (module.parent != room, module.relative_to(room).as_posix())


def _row(module: Path, room: Path) -> list[str]:
    if module.name == "__init__.py":
        return [f"**`{module.parent.relative_to(room).as_posix()}/`**", summary_of(module)]
    return [f"`{module.relative_to(room).as_posix()}`", summary_of(module)]


def summary_of(file: Path) -> str:
    """The first line of the docstring of a module."""
    return first_line(ast.get_docstring(_parsed(file)))


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def door_tables() -> str:
    """The public names of each subject, with the first line of their docstrings."""
    return "\n\n".join(_door(subject) for subject in SUBJECTS)


def _door(subject: str) -> str:
    rows = [[f"`{subject}.{name}`", summary] for name, summary in public_names(subject).items()]
    return f"### `urgency_dagster.{subject}`\n\n{table(['name', 'what it is'], rows)}"


def public_names(subject: str) -> dict[str, str]:
    """The public names of a subject, sorted, and the first line of the docstring of each."""
    sources = {
        alias.name: f"urgency_dagster.{subject}.{node.module}"
        for node in ast.walk(_parsed(PACKAGE / subject / "__init__.pyi"))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return {name: _summary_of_name(sources[name], name) for name in sorted(sources)}


def _summary_of_name(module: str, name: str) -> str:
    """The first line of the docstring of a function, class or constant; of its module if it has none."""
    file = ROOT / f"{module.replace('.', '/')}.py"
    body = _parsed(file).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return first_line(ast.get_docstring(node))
        if _assigns(node, name) and isinstance(following, ast.Expr):
            return first_line(str(ast.literal_eval(following.value)))
    return summary_of(file)


def _assigns(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(ast.unparse(target) == name for target in targets)


def import_rules() -> str:
    """The name of each import rule that `make check` enforces."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return "\n".join(f"- {contract['name']}" for contract in configuration["tool"]["importlinter"]["contracts"])
