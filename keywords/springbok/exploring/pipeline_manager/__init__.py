# SPDX-License-Identifier: Apache-2.0
"""Scenarios in Antmicro's Pipeline Manager: its files, and this project as its external application.

``format`` has the specification and the graphs, ``link`` the messages, ``application`` what is answered.
"""
