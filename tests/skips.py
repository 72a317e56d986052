"""A test is skipped for want of a browser, a GPU or Delta alone, which the report's end says; others fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

WANTING = ("NO BROWSER: ", "NO GPU: ", "NO DELTA: ")  # how the reason of a skip begins


def reason_of(report: pytest.TestReport) -> str:
    """Of a skip: pytest gives file, line, `Skipped: reason`."""
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not reason_of(report).startswith(WANTING):
        report.outcome = "failed"
        report.longrepr = f"expected no skip but for {', '.join(WANTING)}..., got: {reason_of(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(map(reason_of, terminalreporter.stats.get("skipped", [])))
    for reason, number in reasons.items():
        terminalreporter.write_line(f"NOT TESTED HERE, {number} tests: {reason}", yellow=True, bold=True)
