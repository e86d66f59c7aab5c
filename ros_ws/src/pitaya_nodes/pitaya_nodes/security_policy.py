# SPDX-License-Identifier: Apache-2.0
"""What each node may say and hear, as an SROS 2 policy: asked from the graph, written and read as XML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rclpy.node import Node

from pitaya_nodes.errors import SecurityError
from pitaya_nodes.security import enclave_of

_ACTION = "/_action/"
_LARGEST_BYTES = 1 << 20
_KINDS = {
    "publish": ("topics", "publish", "topic"),
    "subscribe": ("topics", "subscribe", "topic"),
    "reply": ("services", "reply", "service"),
    "request": ("services", "request", "service"),
    "execute": ("actions", "execute", "action"),
    "call": ("actions", "call", "action"),
}


@dataclass(frozen=True)
class Endpoints:
    """Absolute names that one node uses, by what it does with them."""

    publish: frozenset[str] = field(default_factory=frozenset)
    subscribe: frozenset[str] = field(default_factory=frozenset)
    reply: frozenset[str] = field(default_factory=frozenset)
    request: frozenset[str] = field(default_factory=frozenset)
    execute: frozenset[str] = field(default_factory=frozenset)
    call: frozenset[str] = field(default_factory=frozenset)


def united(*observed: Mapping[str, Endpoints]) -> dict[str, Endpoints]:
    """What each node uses in any of several graphs."""
    names = sorted({name for nodes in observed for name in nodes})
    return {name: _sum([nodes[name] for nodes in observed if name in nodes]) for name in names}


def _sum(parts: list[Endpoints]) -> Endpoints:
    return Endpoints(**{kind: frozenset().union(*(getattr(part, kind) for part in parts)) for kind in _KINDS})


def endpoints_of(observer: Node, name: str, namespace: str = "/") -> Endpoints:
    """What a node of the graph has open, as far as the observer has discovered it."""

    def found(query: Any) -> set[str]:
        return {topic for topic, _ in query(name, namespace)}

    publish = found(observer.get_publisher_names_and_types_by_node)
    subscribe = found(observer.get_subscriber_names_and_types_by_node)
    reply = found(observer.get_service_names_and_types_by_node)
    request = found(observer.get_client_names_and_types_by_node)
    return Endpoints(
        _plain(publish),
        _plain(subscribe),
        _plain(reply),
        _plain(request),
        execute=_actions(reply),
        call=_actions(request),
    )


def _plain(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in names if _ACTION not in name)


def _actions(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.partition(_ACTION)[0] for name in names if _ACTION in name)


def write_policy(nodes: Mapping[str, Endpoints]) -> str:
    """The policy as XML: one enclave per node, nothing that is not named is allowed."""
    policy = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(policy, "enclaves")
    for name in sorted(nodes):
        enclave = ElementTree.SubElement(enclaves, "enclave", path=enclave_of(name))
        profile = ElementTree.SubElement(
            ElementTree.SubElement(enclave, "profiles"), "profile", ns="/", node=name
        )
        for kind, (group, attribute, item) in _KINDS.items():
            names = sorted(getattr(nodes[name], kind))
            if names:
                rows = ElementTree.SubElement(profile, group, {attribute: "ALLOW"})
                for each in names:
                    ElementTree.SubElement(rows, item).text = each
    ElementTree.indent(policy)
    comment = "<!-- SPDX-License-Identifier: Apache-2.0 -->\n<!-- Made by python -m pitaya_nodes.observe_endpoints. -->"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{comment}\n{ElementTree.tostring(policy, "unicode")}\n'


def read_policy(path: Path) -> dict[str, Endpoints]:
    """What `write_policy` wrote, by node.

    Raises:
        SecurityError: If the file cannot be read, or allows something in words that are not known here.
    """
    try:
        data = path.read_bytes()
        if len(data) > _LARGEST_BYTES or b"<!" in data.replace(b"<!--", b""):
            raise SecurityError(f"{path} is larger than {_LARGEST_BYTES} bytes or declares entities")
        enclaves = ElementTree.fromstring(data).findall("./enclaves/enclave")
    except (OSError, ElementTree.ParseError) as error:
        raise SecurityError(f"policy {path} cannot be read: {error}") from error
    known = {(group, attribute): kind for kind, (group, attribute, _) in _KINDS.items()}
    nodes = {}
    for profile in (profile for enclave in enclaves for profile in enclave.findall("./profiles/profile")):
        allowed: dict[str, frozenset[str]] = {}
        for rows in profile:
            ((attribute, permission),) = rows.attrib.items() or (("", ""),)
            kind = known.get((rows.tag, attribute))
            if kind is None or permission != "ALLOW":
                raise SecurityError(f"policy {path}: {rows.tag} {rows.attrib} is not known")
            allowed[kind] = allowed.get(kind, frozenset()) | {str(row.text) for row in rows}
        nodes[profile.attrib["node"]] = Endpoints(**allowed)
    return nodes
