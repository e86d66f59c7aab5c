# SPDX-License-Identifier: Apache-2.0
"""A point in the plane: no physics engine, so that tests and newcomers can train in minutes."""
