# SPDX-License-Identifier: Apache-2.0
"""D'Claw over a valve in MuJoCo: model, worlds stepped at once, plant and task families."""
