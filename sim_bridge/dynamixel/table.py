# SPDX-License-Identifier: Apache-2.0
"""The memory of one emulated motor, with the access rules of a real one."""

from __future__ import annotations

from collections.abc import Mapping

from meta_rl_core.dynamixel.control_table import (
    GOALS,
    INDIRECT_BLOCKS,
    REGISTERS,
    TABLE_BYTES,
    Mode,
    Model,
    Register,
    StatusError,
    number_bytes,
    read_number,
)

_BY_ADDRESS = {register.address: (name, register) for name, register in REGISTERS.items()}
_DATA_TO_SLOT = {
    data + slot: address + 2 * slot for address, data, slots in INDIRECT_BLOCKS for slot in range(slots)
}
_SLOT_BYTES = {address + offset for address, _, slots in INDIRECT_BLOCKS for offset in range(2 * slots)}


class ControlTable:
    """Registers by name for the motor itself, bytes by address for the bus."""

    def __init__(self, model: Model, bus_id: int, firmware: int, settings: Mapping[str, int]) -> None:
        """Sets everything as it leaves the factory, then `settings`.

        Args:
            model: Model of the motor.
            bus_id: Its address.
            firmware: Firmware version.
            settings: Values of EEPROM registers that differ from the factory's.
        """
        self._model = model
        self._bytes = bytearray(TABLE_BYTES)
        self._targets: dict[tuple[int, int], tuple[int, ...]] = {}
        self.factory_reset()
        self["model_number"], self["firmware_version"], self["id"] = model.number, firmware, bus_id
        for name, value in settings.items():
            self[name] = value

    def __getitem__(self, name: str) -> int:
        """Value of a register."""
        register = REGISTERS[name]
        return read_number(register, self._bytes[register.address : register.address + register.size])

    def __setitem__(self, name: str, value: int) -> None:
        """Sets a register, whatever the rules for the bus."""
        register = REGISTERS[name]
        self._bytes[register.address : register.address + register.size] = number_bytes(register, value)

    def factory_reset(self, keep: tuple[str, ...] = ()) -> None:
        """All EEPROM registers but read-only ones and `keep` to their defaults, and a power cycle."""
        for name, register in REGISTERS.items():
            if register.eeprom and register.writable and name not in keep:
                self[name] = self._default(name, register)
        self.power_up()

    def power_up(self) -> None:
        """All RAM registers and indirect addresses to their defaults."""
        for name, register in REGISTERS.items():
            if not register.eeprom:
                self[name] = self._default(name, register)
        for data, slot in _DATA_TO_SLOT.items():
            self._bytes[slot : slot + 2] = data.to_bytes(2, "little")
        self._targets.clear()
        self["goal_pwm"], self["goal_current"] = self["pwm_limit"], self["current_limit"]

    def read(self, address: int, length: int) -> bytes | None:
        """Bytes as the bus sees them, indirect data followed; None if they lie outside the table."""
        if length < 1 or address + length > TABLE_BYTES:
            return None
        targets = self._targets.get((address, length))
        if targets is None:
            targets = tuple(self._target(place) for place in range(address, address + length))
            self._targets[address, length] = targets
        return bytes([self._bytes[target] for target in targets])

    def write(self, address: int, data: bytes, *, watchdog_tripped: bool) -> tuple[StatusError, list[str]]:
        """Writes as the bus does: whole registers, within their ranges, EEPROM only without torque.

        Args:
            address: First byte.
            data: Bytes of one or more neighbouring registers.
            watchdog_tripped: Whether goal registers refuse.

        Returns:
            Why nothing was written, or NONE with the names of the registers that were.
        """
        changes: list[tuple[str, Register, int]] = []
        raw: list[tuple[int, bytes]] = []
        place, rest = address, data
        if not data:
            return StatusError.DATA_LENGTH, []
        while rest:
            if place in _SLOT_BYTES and len(rest) >= 2:
                if not 64 <= int.from_bytes(rest[:2], "little") < TABLE_BYTES:
                    return StatusError.DATA_RANGE, []
                raw.append((place, rest[:2]))
                place, rest = place + 2, rest[2:]
                continue
            name, register = _BY_ADDRESS.get(self._target(place), ("", None))
            if register is None or not register.writable:
                return StatusError.ACCESS, []
            if len(rest) < register.size:
                return StatusError.DATA_LENGTH, []
            value = read_number(register, rest[: register.size])
            error = self._refusal(name, register, value, watchdog_tripped)
            if error:
                return error, []
            changes.append((name, register, value))
            place, rest = place + register.size, rest[register.size :]
        if raw:
            self._targets.clear()
        for start, pair in raw:
            self._bytes[start : start + len(pair)] = pair
        for name, _, value in changes:
            self[name] = value
        return StatusError.NONE, [name for name, _, _ in changes]

    def _target(self, place: int) -> int:
        slot = _DATA_TO_SLOT.get(place)
        return place if slot is None else int.from_bytes(self._bytes[slot : slot + 2], "little")

    def _refusal(self, name: str, register: Register, value: int, watchdog_tripped: bool) -> StatusError:
        if register.eeprom and self["torque_enable"]:
            return StatusError.ACCESS
        if name in GOALS and watchdog_tripped:
            return StatusError.DATA_RANGE
        if not register.low <= value <= self._highest(name, register):
            return StatusError.DATA_RANGE
        limits = {"goal_current": "current_limit", "goal_pwm": "pwm_limit", "goal_velocity": "velocity_limit"}
        if name in limits and abs(value) > self[limits[name]]:
            return StatusError.DATA_LIMIT
        low, high = self["min_position_limit"], self["max_position_limit"]
        if name == "goal_position" and self["operating_mode"] == Mode.POSITION and not low <= value <= high:
            return StatusError.DATA_LIMIT
        return StatusError.NONE

    def _highest(self, name: str, register: Register) -> int:
        return self._model.highest_current if name == "current_limit" else register.high

    def _default(self, name: str, register: Register) -> int:
        return self._model.highest_current if name in ("current_limit", "goal_current") else register.default
