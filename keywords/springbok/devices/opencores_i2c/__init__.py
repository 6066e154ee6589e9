# SPDX-License-Identifier: Apache-2.0
"""OpenCores' I2C controller, with an accelerometer."""
