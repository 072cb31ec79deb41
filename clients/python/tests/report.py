"""Runs tests and says in one line of JSON how many cases there were, and which failed.

python3 -m tests.report tests.test_vectors tests.test_ring
"""

import json
import sys
import unittest


class Report(unittest.TestResult):
    """Counts each test without subtests, and each subtest."""

    def __init__(self):
        super().__init__()
        self.cases, self.wrong = 0, []
        self._within = None  # the test whose last subtest was counted

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        self._within = test
        self._count(subtest, err)

    def addSuccess(self, test):
        super().addSuccess(test)
        if self._within is not test:
            self._count(test, None)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._count(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._count(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._count(test, (None, reason, None))

    def _count(self, test, err):
        self.cases += 1
        if err is not None:
            self.wrong.append(f"{test}: {err[1]}")


def main():
    report = Report()
    unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:]).run(report)
    print(json.dumps({"cases": report.cases, "wrong": report.wrong}))


if __name__ == "__main__":
    main()
