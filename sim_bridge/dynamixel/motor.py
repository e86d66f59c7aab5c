# SPDX-License-Identifier: Apache-2.0
"""One emulated motor: what it does with its registers while time passes.

The shaft itself belongs to somebody else (a simulated hand): it tells its angle, speed and torque, and asks for the
goal. Overload and heat are rough models: 0.9 A or more for five seconds trips, a winding warms by 55 degrees per A^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meta_rl_core.dynamixel.control_table import (
    ALERT,
    RAD_PER_TICK,
    RAD_S_PER_UNIT,
    TICKS_PER_TURN,
    WATCHDOG_UNIT_S,
    HardwareError,
    Mode,
    Model,
    StatusError,
)
from sim_bridge.dynamixel.table import ControlTable

OVERLOAD_A, OVERLOAD_S = 0.9, 5.0
ROOM_C, HEAT_C_PER_A2, HEAT_S = 25.0, 55.0, 300.0


@dataclass(frozen=True)
class Drive:
    """What a motor's controller wants of its shaft.

    Attributes:
        goal_tick: Goal in ticks of the shaft, turns included; None without torque.
        position_p: Position P gain.
        pwm_share: Share of full voltage it may use, 0 to 1.
    """

    goal_tick: float | None
    position_p: int
    pwm_share: float


class Motor:
    """A motor on the bus.

    Attributes:
        model: Its model.
        table: Its registers.
        silent: Whether it ignores everything, as with a loose plug.
        temperature_c: Temperature of its winding.
    """

    def __init__(
        self, model: Model, bus_id: int, *, firmware: int = 45, settings: Mapping[str, int] | None = None
    ) -> None:
        """Makes a motor at rest at shaft tick 0.

        Args:
            model: Its model.
            bus_id: Its address.
            firmware: Its firmware version.
            settings: EEPROM registers that differ from the factory's.
        """
        self.model = model
        self.table = ControlTable(model, bus_id, firmware, settings or {})
        self.silent = False
        self.temperature_c = ROOM_C
        self._time_s = 0.0
        self._fed_s = 0.0
        self._overload_s = 0.0
        self._folded_ticks = 0
        self._shaft_tick = 0.0
        self._hot_by_command: float | None = None
        self.pending: tuple[int, bytes] | None = None
        self._show_position()

    @property
    def bus_id(self) -> int:
        """Its address."""
        return self.table["id"]

    @property
    def watchdog_tripped(self) -> bool:
        """Whether the bus watchdog has stopped it."""
        return self.table["bus_watchdog"] == 255

    @property
    def alert(self) -> int:
        """The alert bit of its status packets."""
        return ALERT if self.table["hardware_error_status"] else 0

    def drive(self) -> Drive:
        """What its controller wants now."""
        table = self.table
        share = abs(table["goal_pwm"]) / 885.0
        if not table["torque_enable"] or table["operating_mode"] not in (3, 4, 5):
            return Drive(None, 0, share)
        return Drive(table["goal_position"] + self._folded_ticks, table["position_p_gain"], share)

    def fed(self) -> None:
        """An instruction came for it."""
        self._fed_s = self._time_s

    def write(self, address: int, data: bytes) -> StatusError:
        """A write from the bus."""
        was_on = self.table["torque_enable"]
        error, names = self.table.write(address, data, watchdog_tripped=self.watchdog_tripped)
        if "torque_enable" in names and self.table["torque_enable"] and not was_on:
            if self._is_shut_down():
                self.table["torque_enable"] = 0
            else:
                self._fold()
        if "bus_watchdog" in names:
            self._fed_s = self._time_s
        return error

    def reboot(self) -> None:
        """Restarts: errors cleared, RAM lost, position within one turn."""
        self.table.power_up()
        self._overload_s, self.pending = 0.0, None
        self._fold()

    def clear_turns(self) -> None:
        """Forgets full turns."""
        self._fold()

    def raise_errors(self, bits: int) -> None:
        """Sets hardware error bits; torque goes if the shutdown register says so."""
        self.table["hardware_error_status"] |= bits
        if self._is_shut_down():
            self.table["torque_enable"] = 0

    def heat(self, temperature_c: float | None) -> None:
        """Holds the temperature at a value, whatever the current; None lets it go."""
        self._hot_by_command = temperature_c

    def advance(self, duration_s: float, shaft_tick: float, speed_rad_s: float, torque_nm: float) -> None:
        """Takes what the shaft did in the last `duration_s` and looks after limits.

        Args:
            duration_s: Time since the last call [s].
            shaft_tick: Angle in ticks, turns included.
            speed_rad_s: Speed [rad/s], in the motor's sense.
            torque_nm: Torque of the motor [N m].
        """
        self._time_s += duration_s
        self._shaft_tick = shaft_tick
        table = self.table
        current_a = torque_nm / self.model.torque_per_ampere if table["torque_enable"] else 0.0
        table["present_velocity"] = round(speed_rad_s / RAD_S_PER_UNIT)
        table["present_current"] = round(current_a / self.model.current_unit_a)
        table["moving"] = int(abs(table["present_velocity"]) > table["moving_threshold"])
        self._show_position()
        self._watch_heat(duration_s, current_a)
        self._watch_load(duration_s, current_a)
        self._watch_bus()

    def _watch_heat(self, duration_s: float, current_a: float) -> None:
        target = ROOM_C + HEAT_C_PER_A2 * current_a**2
        self.temperature_c += (target - self.temperature_c) * min(duration_s / HEAT_S, 1.0)
        if self._hot_by_command is not None:
            self.temperature_c = self._hot_by_command
        self.table["present_temperature"] = round(self.temperature_c)
        if self.temperature_c > self.table["temperature_limit"]:
            self.raise_errors(HardwareError.OVERHEATING)

    def _watch_load(self, duration_s: float, current_a: float) -> None:
        loaded = abs(current_a) >= OVERLOAD_A
        self._overload_s = max(self._overload_s + (duration_s if loaded else -duration_s), 0.0)
        if self._overload_s >= OVERLOAD_S:
            self.raise_errors(HardwareError.OVERLOAD)

    def _watch_bus(self) -> None:
        limit_s = self.table["bus_watchdog"] * WATCHDOG_UNIT_S
        if not self.table["torque_enable"] or self.watchdog_tripped or limit_s == 0.0:
            return
        if self._time_s - self._fed_s > limit_s:
            # It stops where it is; goals cannot be written until the register is cleared.
            self.table["goal_position"] = self.table["present_position"]
            self.table["bus_watchdog"] = 255

    def _is_shut_down(self) -> bool:
        return bool(self.table["hardware_error_status"] & self.table["shutdown"])

    def _fold(self) -> None:
        """Brings the position into one turn, as position mode does when torque comes on."""
        if self.table["operating_mode"] == Mode.POSITION:
            self._folded_ticks = int(self._shaft_tick // TICKS_PER_TURN) * TICKS_PER_TURN
        self._show_position()

    def _show_position(self) -> None:
        reading = round(self._shaft_tick) - self._folded_ticks
        self.table["present_position"] = reading + self.table["homing_offset"]


def shaft_tick(angle_rad: float, zero_tick: int, sign: int) -> float:
    """Ticks of a shaft, turns included, from a joint's angle [rad]."""
    return zero_tick + sign * angle_rad / RAD_PER_TICK


def joint_angle(tick: float, zero_tick: int, sign: int) -> float:
    """A joint's angle [rad] from the ticks of its shaft."""
    return (tick - zero_tick) * sign * RAD_PER_TICK
