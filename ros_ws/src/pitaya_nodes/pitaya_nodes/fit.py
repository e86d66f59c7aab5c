# SPDX-License-Identifier: Apache-2.0
"""Finds publishers and subscribers that share a topic and yet never exchange a message: their QoS does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    offers = _unheard(
        node.subscriptions,
        "get_publisher_count",
        node.count_publishers,
        node.get_publishers_info_by_topic,
        lambda own, offer: qos_check_compatible(offer, own),
    )
    wishes = _unheard(
        node.publishers,
        "get_subscription_count",
        node.count_subscribers,
        node.get_subscriptions_info_by_topic,
        qos_check_compatible,
    )
    return [_sentence("is published by", *found) for found in offers] + [
        _sentence("is read by", *found) for found in wishes
    ]


def _unheard(
    endpoints: Iterable[Any],
    matched: str,
    there: Callable[[str], int],
    search: Callable[[str], list[Any]],
    check: Callable[[Any, Any], tuple[Any, str]],
) -> Iterator[tuple[str, Any, str]]:
    """Topic, endpoint of another node and reason, for each one on the other side that fits none of `endpoints`."""
    for topic, own in _by_topic(endpoints).items():
        if max(int(getattr(endpoint, matched)()) for endpoint in own) >= there(topic):
            continue
        for other in search(topic):
            if reason := _why_none(check(mine.qos_profile, other.qos_profile) for mine in own):
                yield topic, other, reason


def _by_topic(endpoints: Iterable[Any]) -> dict[str, list[Any]]:
    topics: dict[str, list[Any]] = {}
    for endpoint in endpoints:
        topics.setdefault(endpoint.topic_name, []).append(endpoint)
    return topics


def _why_none(checks: Iterable[tuple[Any, str]]) -> str:
    """Why none of the pairs fits, or an empty text if one does."""
    reasons = []
    for compatibility, reason in checks:
        if int(compatibility) != int(QoSCompatibility.ERROR):  # two enumerations of one name, never identical
            return ""
        reasons.append(reason.strip().rstrip(";"))
    return reasons[0] if reasons else ""


def _sentence(relation: str, topic: str, info: Any, reason: str) -> str:
    name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
    return f"{topic} {relation} {name} and no message passes: {reason}"
