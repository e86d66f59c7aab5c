# SPDX-License-Identifier: Apache-2.0
"""Runs a bundle on a robot: answers joint states with commands, adapts its belief from rewards."""

from __future__ import annotations

from typing import Any

from pitaya_msgs.msg import JointCommand, PolicyStatus, StampedReward, TaskBelief
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from meta_rl_core.bundle import Bundle, load_bundle
from meta_rl_core.errors import InvalidValueError, PitayaError
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.admission import Admitted, Array
from meta_rl_core.runtime.pairing import TransitionPairing
from meta_rl_core.runtime.terms import JointReading, NameMap
from pitaya_nodes import convert, qos, serialized_joints
from pitaya_nodes.adapt_action import AdaptAction
from pitaya_nodes.applied_commands import APPLIED_TOPIC
from pitaya_nodes.belief_journal import BeliefJournal
from pitaya_nodes.belief_services import serve_beliefs
from pitaya_nodes.episode import Episode
from pitaya_nodes.goals import AdaptGoal, adapter_for, pairing_for, warm_up
from pitaya_nodes.managed_node import ManagedNode, at_most_every, run
from pitaya_nodes.policy_motion import PolicyMotion
from pitaya_nodes.policy_settings import SETTINGS
from pitaya_nodes.polled import PolledReadings
from pitaya_nodes.prepared import command_of
from pitaya_nodes.told_goal import ToldGoal
from pitaya_nodes.transition_report import TransitionReport

__all__ = ["SETTINGS", "PolicyNode"]


class PolicyNode(ManagedNode):
    """One policy, its belief about the task at hand, and the Adapt action that runs episodes."""

    def __init__(self) -> None:
        """Declares parameters; ~/status tells from the start what the node is doing."""
        super().__init__("policy_node", SETTINGS)
        self.bundle: Bundle
        self.adapter: Adapter
        self.pairing: TransitionPairing
        self.action: AdaptAction | None = None
        self.episode: Episode | None = None
        self.judged_ns, self.belief_episode, self.belief_stamp_ns = -1, -1, 0
        self._status, self._reason = PolicyStatus(), ""
        self._status_outlet = self.create_publisher(PolicyStatus, "~/status", qos.LATCHED)
        self.states = self.diagnostics.monitor("joint_states")
        self.rewards = self.diagnostics.monitor("reward")
        self._executed_topic = APPLIED_TOPIC if self.value("acknowledged") else "executed_command"
        self.executed = self.diagnostics.monitor(self._executed_topic)
        self.transitions = TransitionReport(self)
        self.journal = BeliefJournal(self)
        self.motion = PolicyMotion(self)
        self.report(PolicyStatus.INACTIVE, "not configured")

    def configure(self) -> None:
        """Loads the bundle, runs it once, and opens topics, services and action.

        Raises:
            PitayaError: If the bundle must not be used.
        """
        if not self.value("bundle"):
            raise InvalidValueError("parameter bundle is empty: give the directory of a policy bundle")
        self.bundle = load_bundle(self.value("bundle"))
        self.robot = self.bundle.robot
        first = self.value("goal_position")
        self.target = ToldGoal(self, self.robot.goal_joints, first, self._on_target)
        self.adapter = Adapter(self.bundle, seed=0, least_authority=self.value("least_authority"))
        warm_up(self.adapter, self.robot)
        self.pairing = self._new_pairing()
        needs_velocity = self.robot.needs_velocity
        self._joints = NameMap(self.robot.joint_names, needs_velocity=needs_velocity)
        self._serialized = serialized_joints.SerializedReadings(JointState, with_velocity=needs_velocity)
        self._commanded = NameMap(self.robot.action.joints)
        self._sparse = self.bundle.manifest.reward.context_reward == "sparse"
        self._latest_state: bytes | None = None
        self.belief_episode, self.belief_stamp_ns = -1, 0
        self.journal.open()
        self._command = command_of(self.robot.action.joints)
        self._command_outlet = self.outlet(JointCommand, "joint_command", qos.COMMAND)
        self._belief_outlet = self.speaker(TaskBelief, "~/belief", qos.BELIEF)
        self.transitions.open()
        states = self.create_subscription(JointState, "joint_states", self.on_state, qos.SENSOR, raw=True)
        self.motion.open(self.made(states, self.destroy_subscription))
        self._executed_commands = self.polled(
            PolledReadings(self, JointCommand, self._executed_topic, qos.PAIRED)
        )
        self.listen(StampedReward, "reward", self._on_reward, qos.PAIRED)
        self._touched = False
        self.listen(Bool, "intervention", self._on_intervention, qos.LATCHED_OR_NOT)
        serve_beliefs(self)
        self.action = AdaptAction(self)
        self.report(PolicyStatus.INACTIVE, self._with_restored("configured"))

    def activate(self) -> None:
        """Permits goals."""
        self.report(PolicyStatus.READY, self._with_restored("waiting for a goal"))
        self.publish_belief()

    def deactivate(self) -> None:
        """Ends a running goal; no command leaves from here on."""
        if self.action is not None:
            self.action.stop("the policy node was deactivated")
        self.motion.close()
        self.report(PolicyStatus.INACTIVE, "deactivated")

    def release(self) -> None:
        """Closes journal and action."""
        self.journal.close()
        if self.action is not None:
            self.action.destroy()
            self.action = None

    def destroy_node(self) -> None:
        """Writes what the journal still has to write."""
        self.journal.close()
        super().destroy_node()

    def refused(self, transition: str, reason: str) -> None:
        """Reports a refused transition on ~/status too."""
        super().refused(transition, reason)
        self.report(PolicyStatus.INACTIVE, f"{transition} refused: {reason}")

    @property
    def goal_runs(self) -> bool:
        """Whether an Adapt goal was accepted and has not ended."""
        return self.action is not None and self.action.running

    def begin_goal(self, goal: AdaptGoal) -> None:
        """Prepares belief and bookkeeping for a goal."""
        if goal.reset_belief:
            self.belief_episode = -1
        self.judged_ns, self._latest_state = -1, None
        self.adapter = adapter_for(goal, self.bundle, self.adapter)
        self.pairing = self._new_pairing()
        self.transitions.begin(keeps_belief=not goal.reset_belief)
        self.motion.begin_goal()
        self.journal.begin_goal(goal)

    def begin_episode(self, index: int, steps: int, first_ns: int) -> Episode:
        """Starts an episode at the state stamped `first_ns` or the first one after it."""
        self.episode = Episode(
            self.robot, self.adapter, self.pairing, index, steps, first_ns, self._on_transition
        )
        self.episode.tell(self.target.position)
        self.episode.touch(self._touched)
        self.belief_episode += 1
        self.journal.note("episode")
        self.report(PolicyStatus.ACTIVE, f"episode {index} runs")
        self.publish_belief()
        # The first state may have overtaken the answer that named it.
        if self._latest_state is not None:
            self._answer(self._latest_state)
        return self.episode

    def missing_topics(self, first_ns: int) -> list[str]:
        """Topics that must work before anything may move, and do not yet: a state from `first_ns` on, its reward."""
        state = self._latest_state
        works = {
            "joint_states": state is not None and serialized_joints.stamp_ns(state) >= first_ns,
            "joint_command": self._command_outlet.get_subscription_count() > 0,
            self._executed_topic: self.count_publishers(self._executed_topic) > 0,
            "reward": self.judged_ns >= first_ns,
        }
        return [topic for topic, connected in works.items() if not connected]

    def end_episode(self) -> None:
        """Stops answering states."""
        self.episode = None
        self._latest_state = None

    def report(self, mode: int, reason: str) -> None:
        """Publishes what the node is doing and why."""
        status = self._status
        status.header.stamp = self.get_clock().now().to_msg()
        self._reason = reason
        status.mode, reason = self.motion.overrides(mode, reason)
        status.reason = "; ".join(filter(None, (reason, self.transitions.said, self.journal.trouble)))
        if self.action is not None:
            status.bundle_hash = self.bundle.hash
            status.accepted, status.rejected = self.pairing.accepted, self.pairing.rejected
        if self.episode is not None:
            status.episode, status.step = self.episode.index, self.episode.step
        self._status_outlet.publish(status)

    def report_again(self) -> None:
        """Publishes the status anew, because what it tells of journal or rewards has changed."""
        self.report(self._status.mode, self._reason)

    def belief_message(self) -> TaskBelief:
        """The present belief."""
        if self.episode is not None:
            self.belief_stamp_ns = self.episode.last_stamp_ns
        z = self.adapter.z if self.adapter.episode >= 0 else None
        return convert.belief_message(
            self.adapter.belief, z, self.belief_stamp_ns, max(self.belief_episode, 0)
        )

    def publish_belief(self) -> None:
        """Publishes the present belief."""
        self._belief_outlet.publish(self.belief_message())

    def _on_transition(self, item: Admitted) -> None:
        self.publish_belief()
        self.journal.observed(item)
        self.transitions.observed(item)

    def on_state(self, data: bytes) -> None:
        """Takes a serialized joint state."""
        self.states.came()
        if self.goal_runs and self.active:
            self._answer(data)

    def _answer(self, data: bytes) -> None:
        episode = self.episode
        try:
            reading = self.motion.in_time_line(self._joints.arrange(self._serialized.read(data)))
        except PitayaError as error:
            self._refuse(self.states, error)
            self.motion.bad_state()
            return
        permitted = self.motion.sound_state(reading)
        if episode is None:
            self._latest_state = data
        elif permitted or not episode.acting:
            self._act(episode, reading)
            self.motion.answered()
            self.absorb()

    def _act(self, episode: Episode, reading: JointReading) -> None:
        try:
            command = episode.answer(reading)
        except PitayaError as error:
            self._refuse(self.states, error)
            self.motion.not_finite()
            return
        if command is not None and self.motion.kept_deadline(episode.skipped):
            self.send(reading.stamp_ns, command)

    def send(self, stamp_ns: int, position: Array) -> None:
        """Commands positions [rad] in answer to the state stamped `stamp_ns`."""
        self._command_outlet.publish(self._command.filled(stamp_ns, position))

    def _on_reward(self, message: StampedReward) -> None:
        self.rewards.came()
        self.judged_ns = convert.stamp_ns(message.header.stamp)
        if self.episode is None:
            return
        self.episode.score(self.judged_ns, convert.score(message, sparse=self._sparse))
        self.absorb()

    def _on_target(self) -> None:
        if self.episode is not None:
            self.episode.tell(self.target.position)

    def _on_intervention(self, message: Bool) -> None:
        self._touched = message.data
        if self.episode is not None:
            self.episode.touch(message.data)

    def absorb(self) -> None:
        """Takes in what came about the running episode; called when there is nothing more urgent to do."""
        episode = self.episode
        if episode is None:
            return
        for _, read in self._executed_commands.fetch():
            self.executed.came()
            try:
                reading = self._commanded.arrange(read())
            except PitayaError as error:
                self._refuse(self.executed, error)
                continue
            episode.executed(reading.stamp_ns, reading.position)
        episode.absorb()
        if self.action is not None:
            self.action.advanced(episode)

    def _refuse(self, monitor: Any, error: PitayaError) -> None:
        monitor.refuse(type(error).__name__, str(error))
        self.get_logger().warning(f"{monitor.name} refused: {error}", **at_most_every(1.0))

    def _new_pairing(self) -> TransitionPairing:
        return pairing_for(self.robot, self.value("lock_step"), self.transitions.refused)

    def _with_restored(self, reason: str) -> str:
        return f"{reason}; {self.journal.restored}" if self.journal.restored else reason


def main() -> int:
    """Entry point."""
    return run(PolicyNode)


if __name__ == "__main__":
    raise SystemExit(main())
