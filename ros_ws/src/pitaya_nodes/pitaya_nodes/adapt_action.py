# SPDX-License-Identifier: Apache-2.0
"""The Adapt action: reset the plant, run an episode, report, again; on the node's single executor thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pitaya_msgs.action import Adapt
from pitaya_msgs.msg import PolicyStatus
from pitaya_msgs.srv import ResetPlant
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.clock import Clock, ClockType
from rclpy.task import Future

from meta_rl_core.errors import PitayaError
from pitaya_nodes import convert
from pitaya_nodes.episode import Episode
from pitaya_nodes.episode_scores import EpisodeOutcome
from pitaya_nodes.errors import GoalCancelledError, GoalStoppedError, PlantError, RewardMissingError
from pitaya_nodes.goals import AdaptGoal, read_goal
from pitaya_nodes.waiting import Waiting

if TYPE_CHECKING:
    from pitaya_nodes.policy_node import PolicyNode

WATCH_PERIOD_S = 0.05
JOURNAL_WAIT_S = 0.5
_WATCHES_PER_STATUS = 20
_RESEND_S = (0.0, 1.0, 3.5, float("inf"))


class AdaptAction:
    """Serves one goal at a time."""

    def __init__(self, node: PolicyNode) -> None:
        """Opens the action of a configured policy node."""
        self._node = node
        self._waiting = Waiting()
        self._waited_for = ""
        self._seen_step = 0
        self._goal: AdaptGoal | None = None
        self._accepted = False
        self._budget_end_s: float | None = None
        self._watches = 0
        self._plant_answered = False
        self._reset_client = node.create_client(ResetPlant, "reset_plant")
        self._server = ActionServer(
            node,
            Adapt,
            "~/adapt",
            self._execute,
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )
        # Steady time: a plant that stopped the simulated clock must still be noticed.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._watch = node.create_timer(WATCH_PERIOD_S, self._on_watch, clock=steady)
        self._watch.cancel()

    @property
    def running(self) -> bool:
        """Whether a goal was accepted and has not ended."""
        return self._accepted

    def destroy(self) -> None:
        """Closes the action."""
        self._watch.cancel()
        self._node.destroy_timer(self._watch)
        self._node.destroy_client(self._reset_client)
        self._server.destroy()

    def stop(self, reason: str) -> None:
        """Ends a running goal early."""
        self._waiting.fail(GoalStoppedError(reason))

    def advanced(self, episode: Episode) -> None:
        """Notes that the episode took in something new."""
        if self._waited_for == "steps":
            if episode.step != self._seen_step:
                self._seen_step = episode.step
                self._waiting.progress()
            if not episode.acting:
                self._waiting.finish()
        elif self._waited_for == "rewards" and episode.complete:
            self._waiting.finish()

    def _on_goal(self, _: Adapt.Goal) -> GoalResponse:
        node = self._node
        if not node.active:
            node.get_logger().warning("goal rejected: the policy node is not active; activate it first")
            return GoalResponse.REJECT
        running = "another Adapt goal runs; cancel it or wait for its end" if self._accepted else ""
        if reason := running or node.motion.goal_refusal():
            node.get_logger().warning(f"goal rejected: {reason}")
            node.report(PolicyStatus.ACTIVE if running else PolicyStatus.READY, f"goal rejected: {reason}")
            return GoalResponse.REJECT
        self._accepted = True
        return GoalResponse.ACCEPT

    def _on_cancel(self, _: Any) -> CancelResponse:
        self._waiting.fail(GoalCancelledError("the client cancelled the goal"))
        return CancelResponse.ACCEPT

    def _on_watch(self) -> None:
        self._watches += 1
        if self._budget_end_s is not None and time.monotonic() >= self._budget_end_s:
            self.stop(f"the time budget of {self._goal.time_budget_s:g} s is spent" if self._goal else "")
        self._node.absorb()
        self._node.transitions.check()
        self._node.journal.check()
        self._waiting.check()
        if self._watches % _WATCHES_PER_STATUS == 0 and self._node.episode is not None:
            self._node.report(PolicyStatus.ACTIVE, f"episode {self._node.episode.index} runs")

    async def _execute(self, handle: Any) -> Adapt.Result:
        node, result = self._node, Adapt.Result()
        self._waiting, self._waited_for, self._seen_step = Waiting(), "", 0
        try:
            self._goal = read_goal(handle.request, node.bundle.manifest.horizon)
            await self._run(self._goal, handle, result)
            result.adapted = bool(result.successes[-1])
            outcome = "solved" if result.adapted else "not solved"
            result.message = f"{len(result.returns)} episodes; the last one counts as {outcome}"
            handle.succeed()
        except GoalCancelledError as error:
            result.message = self._where(str(error), result)
            handle.canceled() if handle.is_cancel_requested else handle.abort()
        except PitayaError as error:
            result.message = self._where(str(error), result)
            handle.abort()
        finally:
            self._end(result)
        return result

    async def _run(self, goal: AdaptGoal, handle: Any, result: Adapt.Result) -> None:
        node = self._node
        node.begin_goal(goal)
        self._budget_end_s = None if goal.time_budget_s is None else time.monotonic() + goal.time_budget_s
        self._watch.reset()
        await self._wait("goal", self._plant_timeout_s, node.target.missing, lambda: node.target.known)
        # What is forgotten must be forgotten on disk too, before anything moves; a disk that fails delays it only.
        await self._wait("journal", JOURNAL_WAIT_S, lambda: None, node.journal.settled)
        for index in range(goal.episodes):
            if handle.is_cancel_requested:
                raise GoalCancelledError("the client cancelled the goal")
            first_ns = await self._reset_plant(goal.seed, index)
            if index == 0:
                await self._check_connections(first_ns)
            outcome = await self._run_episode(index, goal.steps, first_ns)
            result.returns.append(outcome.episode_return)
            result.final_errors.append(outcome.final_error)
            result.successes.append(outcome.success)
            handle.publish_feedback(self._feedback(index, outcome))

    async def _reset_plant(self, seed: int, index: int) -> int:
        """Brings the plant to the start of an episode; gives the stamp of its first state [ns]."""
        node, client = self._node, self._reset_client
        node.report(PolicyStatus.HOLD, f"episode {index}: the plant is being reset")
        timeout_s = self._plant_timeout_s
        await self._wait(
            "service", timeout_s, lambda: self._no_plant("offers no service"), client.service_is_ready
        )
        response = await self._answer(ResetPlant.Request(seed=seed, episode=index))
        if not response.success:
            raise PlantError(f"the plant refused to reset: {response.message}")
        return convert.stamp_ns(response.stamp)

    async def _answer(self, request: ResetPlant.Request) -> Any:
        """Calls the plant; until it has ever answered, a first answer may get lost while the two discover each other.

        Only the answer to the latest call counts, so that no reset is left over when the episode begins.
        """
        calls: list[Future] = []
        proven, self._plant_answered = self._plant_answered, False

        def send() -> None:
            calls.append(self._reset_client.call_async(request))
            calls[-1].add_done_callback(lambda _: self._waiting.check())

        def answered() -> bool:
            if not proven and self._waiting.waited_s > _RESEND_S[len(calls)]:
                send()
            return bool(calls[-1].done())

        send()
        try:
            await self._wait(
                "answer", self._plant_timeout_s, lambda: self._no_plant("does not answer service"), answered
            )
        finally:
            for call in calls:
                self._reset_client.remove_pending_request(call)
        self._plant_answered = True
        return calls[-1].result()

    async def _check_connections(self, first_ns: int) -> None:
        """Waits until the gate is connected and the first state was judged; nothing moves before."""
        node, counts = self._node, self._counts()

        def complaint() -> PitayaError:
            missing = node.missing_topics(first_ns)
            if "joint_states" in missing:
                return self._no_progress(*counts)
            topics = ", ".join(self._name(topic) for topic in missing)
            return RewardMissingError(
                f"nothing came within {self._plant_timeout_s:g} s on {topics}, so nothing was moved: are the "
                "command gate and the reward node active, and does the latter know the task?"
            )

        await self._wait(
            "connections", self._plant_timeout_s, complaint, lambda: not node.missing_topics(first_ns)
        )

    async def _run_episode(self, index: int, steps: int, first_ns: int) -> EpisodeOutcome:
        node = self._node
        counts, rewards_before, self._seen_step = self._counts(), node.rewards.count, 0
        wait = self._wait("steps", self._plant_timeout_s, lambda: self._no_progress(*counts))
        episode = node.begin_episode(index, steps, first_ns)
        try:
            await wait
            wait = self._wait("rewards", node.value("reward_timeout_s"), lambda: None)
            self.advanced(episode)
            await wait
        finally:
            if node.context.ok():
                node.absorb()
                outcome = episode.close()
                node.publish_belief()
                node.end_episode()
        if outcome.judged == 0:
            raise RewardMissingError(
                f"none of the {outcome.steps} steps of episode {index} was judged "
                f"({node.rewards.count - rewards_before} rewards came on {self._name('reward')}): "
                "is the reward node active, and does it know the task?"
            )
        return outcome

    def _wait(self, what: str, timeout_s: float, complaint: Any, condition: Any = None) -> Future:
        self._waited_for = what
        return self._waiting.start(timeout_s, complaint, condition)

    def _feedback(self, index: int, outcome: EpisodeOutcome) -> Adapt.Feedback:
        return Adapt.Feedback(
            episode=index,
            episode_return=outcome.episode_return,
            final_error=outcome.final_error,
            success=outcome.success,
            belief=self._node.belief_message(),
            accepted=self._node.pairing.accepted,
            rejected=self._node.pairing.rejected,
        )

    def _end(self, result: Adapt.Result) -> None:
        node = self._node
        if not node.context.ok():
            return  # the process ends in the middle of the goal, which for the journal has not ended
        self._watch.cancel()
        self._goal, self._budget_end_s, self._accepted, self._waited_for = None, None, False, ""
        result.belief = node.belief_message()
        result.accepted, result.rejected = node.pairing.accepted, node.pairing.rejected
        if node.active:
            node.journal.end_goal(result.message)  # a deactivated node's goal was interrupted, not ended
        mode = PolicyStatus.READY if node.active else PolicyStatus.INACTIVE
        node.report(mode, f"goal ended: {result.message}")
        node.get_logger().info(f"goal ended: {result.message}")

    def _where(self, reason: str, result: Adapt.Result) -> str:
        return f"stopped after {len(result.returns)} finished episodes: {reason}"

    @property
    def _plant_timeout_s(self) -> float:
        return float(self._node.value("plant_timeout_s"))

    def _name(self, topic: str) -> str:
        return str(self._node.resolve_topic_name(topic))

    def _no_plant(self, what: str) -> PlantError:
        return PlantError(
            f"the plant {what} {self._name('reset_plant')} within {self._plant_timeout_s:g} s: "
            "is it running and active, in this namespace and ROS domain?"
        )

    def _counts(self) -> tuple[int, int]:
        return self._node.states.count, self._node.states.refusals

    def _no_progress(self, states_before: int, refusals_before: int) -> PlantError:
        states, came = self._node.states, self._node.states.count - states_before
        topic = self._name("joint_states")
        if came == 0:
            detail = f"no joint state came on {topic}: is the plant publishing?"
        elif states.refusals > refusals_before:
            detail = f"{came} joint states came on {topic}, the last refusal: {states.last_reason}"
        else:
            detail = (
                f"{came} joint states came on {topic}, none of them new: "
                "is the command gate active, and does the plant hear executed_command?"
            )
        return PlantError(f"no step for {self._plant_timeout_s:g} s: {detail}")
