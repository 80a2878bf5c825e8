"""A report for machines: plain JSON, SARIF for code scanning, JUnit for test pages, lines for GitHub's log.

Each is a pure function from a report to text. All say the same; none says when or where it was made.
"""

from hanok.preflight.reports.github import github
from hanok.preflight.reports.junit import junit
from hanok.preflight.reports.plain import plain, plain_finding
from hanok.preflight.reports.sarif import sarif

__all__ = ["github", "junit", "plain", "plain_finding", "sarif"]
