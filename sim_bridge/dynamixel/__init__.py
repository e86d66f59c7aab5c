# SPDX-License-Identifier: Apache-2.0
"""An emulated Dynamixel bus: motors that answer like real ones on a serial line, moved by a simulated hand."""
