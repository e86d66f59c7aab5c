# SPDX-License-Identifier: Apache-2.0
"""Finds publishers and subscribers that share a topic and yet never exchange a message: their QoS does not fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible


def fit_line(node: Node) -> DiagnosticStatus:
    """The line of /diagnostics that names every misfit of a node's topics."""
    found = misfits(node)
    return DiagnosticStatus(
        name="quality of service",
        level=DiagnosticStatus.ERROR if found else DiagnosticStatus.OK,
        message="; ".join(found) or "ok",
        values=[KeyValue(key="misfits", value=str(len(found)))],
    )


def misfits(node: Node) -> list[str]:
    """One sentence per endpoint of another node that shares a topic with this one and fits none of its own.

    DDS says nothing to a reader that asks for more than is offered: it just hears nothing. What is asked here first,
    how many are matched and how many there are, costs microseconds; the graph is searched only where they differ.
    """
    found = []
    for topic, readers in _by_topic(node.subscriptions).items():
        if _matched(readers, "get_publisher_count") < node.count_publishers(topic):
            offers = node.get_publishers_info_by_topic(topic)
            found += [
                _sentence(topic, "is published by", offer, reason)
                for offer in offers
                if (
                    reason := _why_none(
                        qos_check_compatible(offer.qos_profile, own.qos_profile) for own in readers
                    )
                )
            ]
    for topic, writers in _by_topic(node.publishers).items():
        if _matched(writers, "get_subscription_count") < node.count_subscribers(topic):
            wishes = node.get_subscriptions_info_by_topic(topic)
            found += [
                _sentence(topic, "is read by", wish, reason)
                for wish in wishes
                if (
                    reason := _why_none(
                        qos_check_compatible(own.qos_profile, wish.qos_profile) for own in writers
                    )
                )
            ]
    return found


def _by_topic(endpoints: Iterable[Any]) -> dict[str, list[Any]]:
    topics: dict[str, list[Any]] = {}
    for endpoint in endpoints:
        topics.setdefault(endpoint.topic_name, []).append(endpoint)
    return topics


def _matched(endpoints: Iterable[Any], how: str) -> int:
    """How many endpoints of others the best connected one of these is matched with."""
    return max(int(getattr(endpoint, how)()) for endpoint in endpoints)


def _why_none(checks: Iterable[tuple[Any, str]]) -> str:
    """Why none of the pairs fits, or an empty text if one does."""
    reasons = []
    for compatibility, reason in checks:
        if int(compatibility) != int(QoSCompatibility.ERROR):  # two enumerations of one name, never identical
            return ""
        reasons.append(reason.strip().rstrip(";"))
    return reasons[0] if reasons else ""


def _sentence(topic: str, relation: str, info: Any, reason: str) -> str:
    name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
    return f"{topic} {relation} {name} and no message passes: {reason}"
