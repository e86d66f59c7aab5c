# SPDX-License-Identifier: Apache-2.0
"""Service calls that are sent again when no answer comes, for requests that may be executed twice.

A client that sees a server is not yet seen by it: an answer that is sent before the server has discovered the
client's reader is lost. Both sides learn of the other's endpoints in the order of their creation, so an answer to
a client that was made last proves that the server knows all that this process made before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

RESEND_S = 1.0


def call_until_answered(
    client: Any, request: Any, spin: Callable[[], None], timeout_s: float, resend_s: float = RESEND_S
) -> Any:
    """The response, or None if none came in time.

    Args:
        client: A service client.
        request: A request that does no harm twice.
        spin: Handles what comes for a short while.
        timeout_s: How long to try [s], the wait for the server included.
        resend_s: After how long without an answer the request is sent again [s].
    """
    end_s = time.monotonic() + timeout_s
    calls: list[Any] = []
    resend_at_s = 0.0
    while time.monotonic() < end_s:
        if time.monotonic() >= resend_at_s and client.service_is_ready():
            calls.append(client.call_async(request))
            resend_at_s = time.monotonic() + resend_s
        spin()
        for call in calls:
            if call.done():
                return call.result()
    return None
