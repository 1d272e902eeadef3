"""report.html: one self-contained page about one run, for people who were not there."""

from bulklink.files.report.facts import Explain, ReportFacts, gather
from bulklink.files.report.page import render, write_report

__all__ = ["Explain", "ReportFacts", "gather", "render", "write_report"]
