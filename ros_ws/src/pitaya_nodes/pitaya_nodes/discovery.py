# SPDX-License-Identifier: Apache-2.0
"""How far and how fast the processes of a bring-up find others, unless the user has set that up."""

from __future__ import annotations

from collections.abc import Mapping

from pitaya_nodes.bringup import share_directory
from pitaya_nodes.errors import BringUpError

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
_OTHERS = ("FASTDDS_DEFAULT_PROFILES_FILE", "RMW_FASTRTPS_USE_QOS_FROM_XML")


def discovery_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment of a node.

    It finds nodes on this machine alone, since whoever is found may command; and settings of Fast DDS let one that is
    started anew be heard at once.

    Args:
        environment: That of this process; who sets a range there, or sets up Fast DDS, is left alone in that. Other
            kinds of DDS do not look at the settings of Fast DDS.
    """
    # An empty range is none to ROS either, which then takes the whole subnet.
    near = {} if environment.get(RANGE) else {RANGE: "LOCALHOST"}
    return {**near, **_profiles(environment)}


def _profiles(environment: Mapping[str, str]) -> dict[str, str]:
    if any(name in environment for name in (PROFILES, *_OTHERS)):
        return {}
    try:
        profiles = share_directory() / "config" / "dds" / "fastdds.xml"
    except BringUpError:
        return {}
    return {PROFILES: str(profiles)} if profiles.is_file() else {}
