# SPDX-License-Identifier: Apache-2.0
"""The order of time-outs: each guard gets its chance before the next, harder one steps in."""

from __future__ import annotations

import itertools

from meta_rl_core.errors import InvalidValueError

STATE_AGE_S = 0.05
SERVO_WATCHDOG_S = 0.1
COMMAND_SILENCE_S = 0.25
LONGEST_SILENCE_S = 0.5
"""No parameter makes the command gate wait longer than this."""
FAULT_S = 1.0


def check_time_outs(
    *,
    state_age_s: float = STATE_AGE_S,
    servo_watchdog_s: float | None = SERVO_WATCHDOG_S,
    command_silence_s: float = COMMAND_SILENCE_S,
    fault_s: float = FAULT_S,
) -> None:
    """Checks that state age < servo watchdog < command silence <= 0.5 s < fault.

    Args:
        state_age_s: The policy holds on joint states older than this [s].
        servo_watchdog_s: The motors stop by themselves when nothing reaches them for this long [s]; None if the
            robot's motors cannot.
        command_silence_s: The gate holds when no sound command came for this long [s].
        fault_s: What has not recovered by now needs a person [s].

    Raises:
        InvalidValueError: If the order does not hold; names the pair.
    """
    order = [
        ("state age", state_age_s),
        *([] if servo_watchdog_s is None else [("servo watchdog", servo_watchdog_s)]),
        ("command silence", command_silence_s),
        ("ceiling of command silence", LONGEST_SILENCE_S),
        ("fault", fault_s),
    ]
    for (name, time_s), (later, later_s) in itertools.pairwise(order):
        if time_s > later_s or (time_s == later_s and name != "command silence"):
            listed = ", ".join(f"{word} {value:g} s" for word, value in order)
            raise InvalidValueError(
                f"time-outs must grow in this order: {listed}; {name} must be shorter than {later}"
            )
