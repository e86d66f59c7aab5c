# SPDX-License-Identifier: Apache-2.0
"""The service `reset_plant` of a real robot: taken up between two cycles, answered when the robot has done it.

A callback that waits for the robot, as a coroutine too, keeps its callback group, and with it the timer that moves the
robot; so requests are fetched by hand and answered seconds later.
"""

from __future__ import annotations

from typing import Any

from pitaya_msgs.srv import ResetPlant
from rclpy.node import Node

from meta_rl_core.dynamixel.driver import HandDriver
from pitaya_nodes import convert
from pitaya_nodes.polled import NeverExecuted
from pitaya_nodes.reset_job import ResetJob


class ResetService:
    """One reset at a time; the same request again joins the one that runs, another one ends it."""

    def __init__(self, node: Node, driver: HandDriver, person_timeout_s: float) -> None:
        """Opens the service.

        Args:
            node: Who offers it.
            driver: The robot.
            person_timeout_s: How long a failed reset waits for a person [s].
        """
        self._node, self._driver, self._person_timeout_s = node, driver, person_timeout_s
        self._job: ResetJob | None = None
        self._waiting: list[Any] = []
        # Executors know the group only through what is in it.
        self._group = NeverExecuted()
        self._service = node.create_service(
            ResetPlant, "reset_plant", lambda _, response: response, callback_group=self._group
        )

    def step(self, stamp_ns: int | None, refusal: str) -> None:
        """Goes on after a cycle of the driver.

        Args:
            stamp_ns: Stamp of the state that the cycle published, if any [ns].
            refusal: Why no reset may begin, or an empty text.
        """
        if self._job is not None:
            self._job.step(stamp_ns)
            self._answer_if_done()
        handle = self._service.handle
        with handle:
            request, header = handle.service_take_request(ResetPlant.Request)
        if header is None:
            return
        if refusal:
            self._send(header, ResetPlant.Response(message=refusal))
        else:
            self._take_up(request, header)

    def go_on(self) -> bool:
        """A person has helped; whether a reset was waiting for that."""
        return self._job is not None and self._job.go_on()

    def give_up(self, reason: str) -> None:
        """Ends the reset that runs, if one does, without success."""
        if self._job is not None:
            self._job.give_up(reason)
            self._answer_if_done()

    def destroy(self) -> None:
        """Closes the service."""
        self.give_up("the driver has ended")
        self._node.destroy_service(self._service)

    def _take_up(self, request: ResetPlant.Request, header: Any) -> None:
        episode = (request.seed, request.episode)
        if self._job is None or self._job.episode != episode:
            self.give_up("another reset was asked for")
            self._job = ResetJob(self._driver, episode, self._person_timeout_s, self._node.get_logger())
        self._waiting.append(header)
        self._answer_if_done()

    def _answer_if_done(self) -> None:
        job = self._job
        if job is None or not job.done:
            return
        response = ResetPlant.Response(success=job.message == "", message=job.message)
        response.stamp = convert.time_message(job.stamp_ns)
        for header in self._waiting:
            self._send(header, response)
        self._waiting.clear()
        self._job = None

    def _send(self, header: Any, response: ResetPlant.Response) -> None:
        self._service.send_response(response, header)
