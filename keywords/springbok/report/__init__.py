# SPDX-License-Identifier: Apache-2.0
"""Reports of runs: pages, Markdown, CSV and the HTML for Robot's log, all made from ``metrics.json`` alone.

>>> from springbok.measuring import metrics
>>> from springbok import report
>>> report.write_reports(metrics.read("results"), "results")            # doctest: +SKIP
[PosixPath('results/report.html'), PosixPath('results/report.md'), PosixPath('results/metrics.csv')]
"""

from springbok.report.compare import comparison_table
from springbok.report.compilers import compilers_figures, compilers_table
from springbok.report.configurations import Run, configurations
from springbok.report.counterparts import counterparts_table
from springbok.report.earlier import read_earlier
from springbok.report.gate import gate_figures
from springbok.report.lead import origin_text, read_lead
from springbok.report.matrix import write_matrix
from springbok.report.page import (
    log_message,
    suite_summary,
    write_comparison,
    write_compilers,
    write_coverage,
    write_reports,
    write_summary,
    write_sweep,
)
from springbok.report.sweep import sweep_figures, sweep_table

__all__ = [
    "Run",
    "comparison_table",
    "configurations",
    "compilers_figures",
    "compilers_table",
    "counterparts_table",
    "gate_figures",
    "log_message",
    "origin_text",
    "read_earlier",
    "read_lead",
    "suite_summary",
    "sweep_figures",
    "sweep_table",
    "write_comparison",
    "write_compilers",
    "write_coverage",
    "write_matrix",
    "write_reports",
    "write_summary",
    "write_sweep",
]
