#!/usr/bin/python3
"""run_tests.py: which skips it lets pass on a machine with a GPU. The test programs are stand-ins."""

import pathlib
import subprocess
import tempfile
import unittest

RUN_TESTS = pathlib.Path(__file__).resolve().parent / "run_tests.py"
STAND_IN = """#!/usr/bin/python3
import sys
report = next(word for word in sys.argv if word.startswith("--gtest_output=xml:"))
with open(report.partition(":")[2], "w") as file:
    file.write({report!r})
sys.exit({status})
"""


def case(name, skipped=None, status="run"):
    inside = f'<skipped message="a_test.cpp:7&#x0A;{skipped}"/>' if skipped else ""
    return f'<testcase classname="OnGpu" name="{name}" status="{status}">{inside}</testcase>'


class RunTests(unittest.TestCase):
    def run_with(self, cases, status=0):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "test_device"
            report = f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"
            program.write_text(STAND_IN.format(report=report, status=status))
            program.chmod(0o755)
            return subprocess.run([RUN_TESTS, program], capture_output=True, text=True)

    def test_a_skip_for_want_of_a_model_or_of_gpus_passes_and_is_named(self):
        run = self.run_with([case("Adds"), case("Sends", "4 GPUs are needed, and there are 1"),
                             case("Quantizes", "no models/stories260K on this machine"),
                             case("Loads", "models/books-2M is not here")])
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("skipped: OnGpu.Sends: 4 GPUs are needed", run.stdout)
        self.assertEqual(run.stdout.splitlines()[-1],
                         "1 tests passed, 3 skipped for want of a model or of GPUs")

    def test_any_other_skip_is_a_failure(self):
        run = self.run_with([case("Adds"), case("Scatters", "no GPU: the driver is too old")])
        self.assertEqual(run.returncode, 1)
        self.assertIn("OnGpu.Scatters first: no GPU: the driver is too old", run.stderr)

    def test_a_failure_and_a_run_of_nothing_are_failures(self):
        self.assertIn("ended with 1", self.run_with([case("Adds")], status=1).stderr)
        run = self.run_with([case("Adds", status="notrun"),
                             case("Sends", "4 GPUs are needed, and there are 1")])
        self.assertEqual(run.returncode, 1)
        self.assertIn("no test ran", run.stderr)


if __name__ == "__main__":
    unittest.main()
