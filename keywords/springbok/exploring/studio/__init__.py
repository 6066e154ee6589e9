# SPDX-License-Identifier: Apache-2.0
"""Scenarios drawn, changed, run and saved in a browser: ``./bench studio``.

``desk`` is what the page works on, ``server`` serves it to this computer alone, ``page/`` is what the browser shows.
The node editor is React Flow (`@xyflow/react`), with React in one module of the wheel ``panel-reactflow``, which is
read from where pip put it: none of it is part of this project.
"""
