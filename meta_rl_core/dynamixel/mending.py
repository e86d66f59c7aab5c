# SPDX-License-Identifier: Apache-2.0
"""Mends what a check-up found, on a person's request alone."""

from __future__ import annotations

from meta_rl_core.dynamixel.bus import MotorBus
from meta_rl_core.dynamixel.checkup import TRIPPED, UNTUNED_LATENCY_S
from meta_rl_core.dynamixel.port import BusError, SteadyPort
from meta_rl_core.dynamixel.scan import scan
from meta_rl_core.runtime.robot_description import RobotDescription


def mend(port: str, robot: RobotDescription) -> list[str]:
    """Writes registers that differ from the description and clears tripped watchdogs; torque must be off.

    Returns:
        What was done, one sentence each.

    Raises:
        BusError: If the port cannot be opened, a motor does not answer, or one has torque on.
    """
    if robot.bus is None:
        return []
    bus, done = MotorBus(SteadyPort(port, robot.bus.baud_rate, UNTUNED_LATENCY_S)), []
    bus.open()
    try:
        seen = scan(bus, robot)
        powered = [joint for joint in seen.registers if bus.read(seen.motors[joint].bus_id, "torque_enable")]
        if powered:
            raise BusError(f"{', '.join(powered)} have torque on: stop the driver first, nothing was changed")
        for finding in seen.findings:
            if finding.kind == "setting" and finding.bus_id is not None:
                bus.write(finding.bus_id, finding.register, finding.wanted)
                done.append(
                    f"{finding.register} of motor {finding.bus_id} ({finding.joint}) is {finding.wanted} now"
                )
        for joint in seen.registers:
            bus_id = seen.motors[joint].bus_id
            if bus.read(bus_id, "bus_watchdog") == TRIPPED:
                bus.write(bus_id, "bus_watchdog", 0)
                done.append(f"the bus watchdog of motor {bus_id} ({joint}) is cleared")
    finally:
        bus.close()
    return done


def reboot(port: str, robot: RobotDescription, bus_id: int) -> str:
    """Restarts one motor, on a person's request alone: its torque drops.

    Raises:
        BusError: If it does not answer.
    """
    bus = MotorBus(SteadyPort(port, robot.bus.baud_rate if robot.bus else 1_000_000, UNTUNED_LATENCY_S))
    bus.open()
    try:
        bus.reboot(bus_id)
    finally:
        bus.close()
    return f"motor {bus_id} was restarted"
