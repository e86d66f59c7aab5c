# SPDX-License-Identifier: Apache-2.0
"""Tests that start ROS nodes side by side do not hear each other."""

import os
import subprocess
import sys
from pathlib import Path

INNER = """
def test_inner(ros_domain_id):
    import os, pathlib
    pathlib.Path(os.environ["ANSWER"]).write_text(str(ros_domain_id))
"""


def test_a_test_run_beside_this_one_gets_another_domain(
    ros_domain_id: int, tmp_path: Path, repository: Path
) -> None:
    # The claim is a lock that another process must see, so another pytest asks for a domain meanwhile.
    (tmp_path / "conftest.py").write_text((repository / "tests" / "conftest.py").read_text())
    (tmp_path / "test_inner.py").write_text(INNER)
    answer = tmp_path / "answer"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        ".",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "ANSWER": str(answer)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert os.environ["ROS_DOMAIN_ID"] == str(ros_domain_id)
    assert 1 <= int(answer.read_text()) <= 101
    assert int(answer.read_text()) != ros_domain_id
