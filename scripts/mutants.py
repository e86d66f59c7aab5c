# SPDX-License-Identifier: Apache-2.0
"""Changes the safety code in every small way it knows and counts how many changes its tests notice.

`make mutants` runs it. Each mutant is one changed operator, constant, condition, return value or left-out
statement; a forked process puts it in the module's place and runs the module's tests, the first failure of which
kills it. A mutant that runs too long counts as killed. Exit status 1: fewer than 90 % of a module's mutants died.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LEAST_KILLED = 0.9
TIMEOUT_S = 60.0
_TESTS = "tests/core/runtime/test_"
TARGETS = {
    "meta_rl_core.runtime.supervisor": [f"{_TESTS}supervisor.py", f"{_TESTS}supervisor_modes.py"],
    "meta_rl_core.runtime.safety_filter": [f"{_TESTS}safety_filter.py"],
    "meta_rl_core.runtime.acknowledgement": [f"{_TESTS}acknowledgement.py"],
    "meta_rl_core.runtime.recent_evidence": [f"{_TESTS}recent_evidence.py"],
}
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Everything one node may be replaced by, with a word on what changed."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            if type(operator) in _SWAPPED:
                changed = copy.deepcopy(node)
                changed.ops[index] = _SWAPPED[type(operator)]()  # type: ignore[call-overload]
                yield "comparison", changed
    elif isinstance(node, ast.BoolOp | ast.BinOp | ast.AugAssign) and type(node.op) in _SWAPPED:
        yield "operator", _with(node, op=_SWAPPED[type(node.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "sign", node.operand
    elif isinstance(node, ast.Constant):
        for value in _other_values(node.value):
            yield "constant", _with(node, value=value)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "return value", _with(node, value=ast.Constant(None))
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "condition", _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield "left-out statement", ast.Pass()


def mutants(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """All mutants of a module, with line and kind of the change."""
    for parent, field, index, node in list(_places(tree)):
        for kind, changed in changes(node):
            ast.copy_location(changed, node)
            _put(parent, field, index, changed)
            mutant = ast.fix_missing_locations(copy.deepcopy(tree))
            _put(parent, field, index, node)
            was, now = ast.unparse(node).splitlines()[0], ast.unparse(changed).splitlines()[0]
            yield f"line {getattr(node, 'lineno', 0)}, {kind}: {was} -> {now}", mutant


def _places(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node that says what is done, with its place; types and documentation say nothing."""
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "type_comment", "decorator_list", "bases"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            yield parent, field, index, child
            yield from _places(child)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _other_values(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    return [f"{value}x"] if isinstance(value, str) else []


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def survives(name: str, source: Path, tree: ast.Module, tests: list[str]) -> bool:
    """Whether the tests pass with this module in the place of the real one."""
    child = os.fork()
    if child == 0:
        _run_tests(name, source, tree, tests)
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def _run_tests(name: str, source: Path, tree: ast.Module, tests: list[str]) -> None:
    """In the child: never returns."""
    status = 1
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        spec = importlib.util.spec_from_file_location(name, source)
        assert spec is not None
        module = ModuleType(name)
        module.__spec__, module.__file__ = spec, str(source)
        package, _, short = name.rpartition(".")
        setattr(importlib.import_module(package), short, module)
        sys.modules[name] = module
        exec(compile(tree, str(source), "exec"), module.__dict__)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:rerunfailures", "--no-header"]
        status = int(pytest.main([*options, *tests]))
    finally:
        os._exit(status)


def measure(name: str, tests: list[str]) -> tuple[int, list[str]]:
    """How many mutants a module has, and the ones that survive its tests."""
    source = REPOSITORY / (name.replace(".", "/") + ".py")
    text = source.read_text(encoding="utf-8")
    if not survives(name, source, ast.parse(text), tests):
        raise SystemExit(f"{', '.join(tests)} do not pass on the unchanged {name}")
    count, survivors = 0, []
    for what, tree in mutants(ast.parse(text)):
        count += 1
        if survives(name, source, tree, tests):
            survivors.append(what)
    return count, survivors


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", choices=[*TARGETS, []], help="by default all")
    names = parser.parse_args().modules or list(TARGETS)
    os.chdir(REPOSITORY)
    sys.path.insert(0, str(REPOSITORY))
    importlib.import_module("hypothesis.stateful")
    importlib.import_module("numpy")
    enough = True
    for name in names:
        count, survivors = measure(name, TARGETS[name])
        killed = count - len(survivors)
        for survivor in survivors:
            print(f"  survived: {survivor}")
        print(f"{name}: {killed} of {count} mutants killed, {100 * killed / count:.1f} %", flush=True)
        enough = enough and killed >= LEAST_KILLED * count
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
