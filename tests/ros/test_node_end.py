# SPDX-License-Identifier: Apache-2.0
"""How a node ends on a signal: in the order that leaves nobody with memory that is gone."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal, weakref
from rclpy.node import Node
from pitaya_nodes import managed_node

made = []

class Watched(managed_node.DirectExecutor):
    def __init__(self):
        super().__init__()
        made.append(weakref.ref(self))

def joined():
    print("executor", "kept" if made[0]() is not None else "gone")
    end()

end, managed_node.uninstall_signal_handlers = managed_node.uninstall_signal_handlers, joined
managed_node.DirectExecutor = Watched

class Ending(Node):
    def __init__(self):
        super().__init__("ending")
        self.create_timer(0.1, lambda: os.kill(os.getpid(), signal.SIGNAL))

    def destroy_node(self):
        print("node destroyed")
        super().destroy_node()

print("status", managed_node.run(Ending))
"""


def end_on(signal: str) -> list[str]:
    words = [sys.executable, "-c", PROGRAM.replace("signal.SIGNAL", f"signal.{signal}")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_the_executor_outlives_the_thread_that_wakes_it_on_a_signal() -> None:
    # That thread calls rcl_trigger_guard_condition on the executor's; freed, it is a segmentation fault now and then.
    for signal in ("SIGINT", "SIGTERM"):
        assert end_on(signal) == ["node destroyed", "executor kept", "status 0"]
