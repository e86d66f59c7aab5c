# SPDX-License-Identifier: Apache-2.0
"""Nothing runs code that a file brings along, and what runs on robots cannot even name what would."""

import ast

import pytest

from tests.test_layering import (
    PRODUCT_FOLDERS,
    TORCH_AT_TOP,
    dotted,
    imports_of,
    name_of,
    parse,
    source_files,
)

# Each of these runs code that a file or a string brings along.
UNSAFE_MODULES = (
    "_pickle",
    "cPickle",
    "cloudpickle",
    "code",
    "dill",
    "joblib",
    "jsonpickle",
    "marshal",
    "pickle",
    "runpy",
    "shelve",
)
UNSAFE_CALLS = (
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
)
RUN_TIME = ("meta_rl_core/bundle", "meta_rl_core/runtime", "ros_ws/src")
FORBIDDEN_NAMES = {
    *UNSAFE_MODULES,
    "allow_pickle",
    "builtins",
    "compile",
    "eval",
    "exec",
    "full_load",
    "popen",
    "shell",
    "system",
    "torch",
    "unsafe_load",
} - {"code"}


def unsafe_uses(tree: ast.Module) -> list[str]:
    """Return what could run code that comes with data: pickles, eval, loaders without their safe option."""
    found = [f"line {item.line}: {item.module}" for item in imports_of(tree) if item.module in UNSAFE_MODULES]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        options = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        unsafe = called in UNSAFE_CALLS
        unsafe |= called == "torch.load" and options.get("weights_only") is not True
        unsafe |= called in ("np.load", "numpy.load") and options.get("allow_pickle", False) is not False
        if unsafe:
            found.append(f"line {node.lineno}: {called}")
    return found


def test_nothing_in_the_product_runs_code_that_data_brings_along() -> None:
    uses = {name_of(path): unsafe_uses(parse(path)) for path in source_files(*PRODUCT_FOLDERS)}
    assert not {name: lines for name, lines in uses.items() if lines}


def test_what_runs_on_a_robot_cannot_even_name_what_runs_data() -> None:
    """Not as an import under another name, an attribute that is passed on, or a name in a from-import."""
    found = {name_of(path): names_of(parse(path)) & FORBIDDEN_NAMES for path in source_files(*RUN_TIME)}
    assert not {name: names for name, names in found.items() if names}


def names_of(tree: ast.Module) -> set[str]:
    """Every name that code uses: variables, attributes, what is imported, keyword arguments."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and dotted(node) != "re.compile":
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names |= set(node.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            names |= set((node.module or "").split("."))
        elif isinstance(node, ast.keyword) and node.arg:
            names.add(node.arg)
    return names


@pytest.mark.parametrize(
    "code",
    [
        "from torch import load as read",
        "import torch.jit",
        "run = eval",
        "from builtins import exec as e",
        "import os; f = os.system",
        "subprocess.run(c, shell=True)",
        "np.load(f, allow_pickle=True)",
        "from yaml import unsafe_load",
    ],
)
def test_the_rule_for_robots_sees_other_forms_too(code: str) -> None:
    assert names_of(ast.parse(code)) & FORBIDDEN_NAMES


def test_torch_load_stays_out_of_everything_but_learning() -> None:
    calls = {
        name_of(path)
        for path in source_files(*PRODUCT_FOLDERS)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and dotted(node.func) == "torch.load"
    }
    assert all(name.startswith(TORCH_AT_TOP) for name in calls)


@pytest.mark.parametrize(
    "code", ["import pickle", "from pickle import loads", "eval('1')", "torch.load('f')", "yaml.load(f)"]
)
def test_the_rule_against_running_data_sees_it(code: str) -> None:
    assert unsafe_uses(ast.parse(code))
