# SPDX-License-Identifier: Apache-2.0
"""How fast the processes of a bring-up find each other: settings of Fast DDS, unless the user brings some."""

from __future__ import annotations

from collections.abc import Mapping

from pitaya_nodes.bringup import share_directory
from pitaya_nodes.errors import BringUpError

PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
_OTHERS = ("FASTDDS_DEFAULT_PROFILES_FILE", "RMW_FASTRTPS_USE_QOS_FROM_XML")


def discovery_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment of a node, so that one that is started anew is heard at once.

    Args:
        environment: That of this process; whoever sets up Fast DDS there is left alone. Other kinds of DDS do not look
            at what is added.
    """
    if any(name in environment for name in (PROFILES, *_OTHERS)):
        return {}
    try:
        profiles = share_directory() / "config" / "dds" / "fastdds.xml"
    except BringUpError:
        return {}
    return {PROFILES: str(profiles)} if profiles.is_file() else {}
