# SPDX-License-Identifier: Apache-2.0
"""History: every run in a store, the steps of its metrics over commits, and the commit of a step.

>>> from springbok.history import keeping, record
>>> keeping.keep(record.of_results(Path("results")), "results/history.db")          # doctest: +SKIP
Kept(number=12, place='results/history.db', problem='')
"""
