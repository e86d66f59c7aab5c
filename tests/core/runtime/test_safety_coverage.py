# SPDX-License-Identifier: Apache-2.0
"""Every branch of the safety code is taken by its own tests."""

import json
import subprocess
import sys
from pathlib import Path

SAFETY_CODE = ("supervisor", "safety_filter", "acknowledgement")


def test_the_tests_of_the_safety_code_take_every_branch(repository: Path, tmp_path: Path) -> None:
    data, report = tmp_path / "data", tmp_path / "report.json"
    sources = ",".join(f"meta_rl_core/runtime/{name}.py" for name in SAFETY_CODE)
    tests = [f"tests/core/runtime/test_{name}.py" for name in (*SAFETY_CODE, "supervisor_modes")]

    def run(*words: str) -> None:
        subprocess.run([sys.executable, "-m", *words], cwd=repository, check=True, capture_output=True)

    pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    run("coverage", "run", "--branch", f"--data-file={data}", f"--include={sources}", *pytest)
    run("coverage", "json", f"--data-file={data}", "-o", str(report))
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    missed = {name: (file["missing_lines"], file["missing_branches"]) for name, file in files.items()}
    assert missed == {f"meta_rl_core/runtime/{name}.py": ([], []) for name in SAFETY_CODE}
