# SPDX-License-Identifier: Apache-2.0
"""Imports point one way, the control path is free of torch and MuJoCo, and files keep to the house rules."""

import ast
import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE_FOLDERS = (
    "benchmarks",
    "examples",
    "launch",
    "meta_rl_core",
    "ros_ws/src",
    "scripts",
    "sim_bridge",
    "tests",
)
# What runs on robots and in training; scripts, tests and benchmarks are tools.
PRODUCT_FOLDERS = ("launch", "meta_rl_core", "ros_ws/src", "sim_bridge")
MODULE_LINES = 300
SPDX = "# SPDX-License-Identifier: Apache-2.0"

ROS = (
    "rclpy",
    "ament_index_python",
    "pitaya_msgs",
    "rosgraph_msgs",
    "std_srvs",
    "lifecycle_msgs",
    "rcl_interfaces",
)
ROS_MESSAGES = (
    "action_msgs",
    "builtin_interfaces",
    "diagnostic_msgs",
    "sensor_msgs",
    "std_msgs",
    "trajectory_msgs",
)
LAUNCH = ("launch", "launch_ros")
# Folder -> top-level modules that nothing in it may import, at any depth of any function.
BANNED = {
    "meta_rl_core": (
        *ROS,
        *ROS_MESSAGES,
        *LAUNCH,
        "gymnasium",
        "mujoco",
        "pitaya_nodes",
        "sim_bridge",
        "tests",
    ),
    "sim_bridge": (*ROS, *ROS_MESSAGES, *LAUNCH, "pitaya_nodes", "tests", "torch"),
    "ros_ws/src": (*LAUNCH, "mujoco", "tests", "torch"),
    "launch": ("mujoco", "tests", "torch"),
}
TORCH_AT_TOP = ("meta_rl_core/networks/", "meta_rl_core/pearl/")
# What these files may import in spite of a ban, inside functions alone: commands start fast without torch, and the
# helper of the launch files imports on a machine without launch.
LAUNCHING = ("ros_ws/src/pitaya_nodes/pitaya_nodes/launching.py",)
INSIDE_FUNCTIONS = {
    "launch": LAUNCHING,
    "launch_ros": LAUNCHING,
    "torch": ("meta_rl_core/cli/train.py", "meta_rl_core/cli/export.py"),
}
# Where a module is imported by a name that comes from outside: entry points, and message classes by their type.
DYNAMIC_IMPORT_ALLOWED = (
    "meta_rl_core/registry.py",
    "ros_ws/src/pitaya_nodes/pitaya_nodes/message_definitions.py",
)


@dataclass(frozen=True)
class Import:
    """One import statement or call: `module` is None if the name is computed."""

    module: str | None
    line: int
    at_top: bool


def source_files(*folders: str) -> list[Path]:
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in paths if not {"build", "install"} & set(path.relative_to(ROOT).parts))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dotted(node: ast.expr) -> str:
    """Return "a.b.c" for such an expression, else what can be told of its end."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imports_of(node: ast.AST, at_top: bool = True) -> Iterator[Import]:
    """Yield every import below a node: statements, `importlib.import_module(...)` and `__import__(...)`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, at_top)
        elif isinstance(child, ast.ImportFrom) and child.level == 0:
            yield Import(child.module, child.lineno, at_top)
        elif isinstance(child, ast.Call) and dotted(child.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            yield Import(named_module(child), child.lineno, at_top)
        is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from imports_of(child, at_top and not is_function and not is_type_checking(child))


def named_module(call: ast.Call) -> str | None:
    """Return the module that an import call names, as far as the top-level package is written out."""
    name = call.args[0] if call.args else None
    if isinstance(name, ast.JoinedStr) and name.values:
        name = name.values[0]
        if not (isinstance(name, ast.Constant) and "." in str(name.value)):
            return None
    return str(name.value) if isinstance(name, ast.Constant) else None


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and dotted(node.test).rpartition(".")[2] == "TYPE_CHECKING"


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def banned_imports(tree: ast.Module, banned: tuple[str, ...], name: str = "") -> list[str]:
    found = []
    for item in imports_of(tree):
        top = (item.module or "").partition(".")[0]
        excused = not item.at_top and name in INSIDE_FUNCTIONS.get(top, ())
        if top in banned and not excused:
            found.append(f"line {item.line}: {top}")
    return found


@pytest.mark.parametrize("folder", sorted(BANNED))
def test_imports_point_one_way(folder: str) -> None:
    files = source_files(folder)
    violations = {name_of(path): banned_imports(parse(path), BANNED[folder], name_of(path)) for path in files}
    assert not {name: lines for name, lines in violations.items() if lines}


@pytest.mark.parametrize(
    ("code", "caught"),
    [
        ("import mujoco", True),
        ("from mujoco.viewer import launch", True),
        ("def f():\n    import mujoco as m", True),
        ("import importlib\nimportlib.import_module('mujoco.rollout')", True),
        ("from importlib import import_module as im, import_module\nimport_module('mujoco')", True),
        ("__import__('mujoco')", True),
        ("import_module(f'mujoco.{name}')", True),
        ("import mujoco_of_my_own", False),
        ("text = 'import mujoco'", False),
    ],
)
def test_the_import_rule_sees_statements_and_calls(code: str, caught: bool) -> None:
    assert bool(banned_imports(ast.parse(code), ("mujoco",))) is caught


def test_names_to_import_are_computed_where_types_and_entry_points_are_resolved() -> None:
    computed = {
        name_of(path)
        for path in source_files(*PRODUCT_FOLDERS)
        if any(i.module is None for i in imports_of(parse(path)))
    }
    assert computed <= set(DYNAMIC_IMPORT_ALLOWED)


def test_torch_is_imported_by_what_learns_alone() -> None:
    others = [path for path in source_files("meta_rl_core") if not name_of(path).startswith(TORCH_AT_TOP)]
    violations = {name_of(path): banned_imports(parse(path), ("torch",), name_of(path)) for path in others}
    assert not {name: lines for name, lines in violations.items() if lines}


def modules_of(package: str) -> list[str]:
    found = importlib.util.find_spec(package)
    assert found is not None and found.submodule_search_locations, (
        f"{package} is not installed; run `make setup-dev`"
    )
    walked = pkgutil.walk_packages(list(found.submodule_search_locations), f"{package}.")
    return [package, *sorted(item.name for item in walked)]


# Imported alone, and packages that are imported with everything in them.
LIGHT_MODULES = ("meta_rl_core", "meta_rl_core.cli.main")
LIGHT_PACKAGES = ("meta_rl_core.bundle", "meta_rl_core.runtime", "pitaya_nodes")


@pytest.mark.parametrize("root", [*LIGHT_MODULES, *LIGHT_PACKAGES])
def test_importing_the_control_path_loads_neither_torch_nor_mujoco(root: str) -> None:
    names = modules_of(root) if root in LIGHT_PACKAGES else [root]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = sorted({'torch', 'mujoco'} & set(sys.modules))\n"
        "    assert not heavy, f'{name} loads {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_no_module_is_longer_than_300_lines() -> None:
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in source_files(*CODE_FOLDERS)
    }
    assert not {name: lines for name, lines in lengths.items() if lines > MODULE_LINES}


def test_every_file_states_its_licence_in_the_first_line() -> None:
    wrong = [
        name_of(path)
        for path in source_files(*CODE_FOLDERS)
        if not path.read_text(encoding="utf-8").startswith(SPDX)
    ]
    assert not wrong


def test_every_module_says_what_it_is_for() -> None:
    assert not [name_of(path) for path in source_files(*CODE_FOLDERS) if not ast.get_docstring(parse(path))]


def test_launch_is_a_folder_and_not_a_package() -> None:
    """With an __init__.py it would hide ROS's own package of that name."""
    assert not (ROOT / "launch" / "__init__.py").exists()


@pytest.mark.parametrize("package", ["meta_rl_core", "pitaya_nodes", "sim_bridge"])
def test_every_public_name_resolves(package: str) -> None:
    missing = []
    for name in modules_of(package):
        module = importlib.import_module(name)
        missing += [
            f"{name}.{public}" for public in getattr(module, "__all__", ()) if not hasattr(module, public)
        ]
    assert not missing
