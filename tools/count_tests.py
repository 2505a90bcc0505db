"""Adds up the single cases in a meson test log: python3 count_tests.py testlog.json

A test is one case, or as many as its output says: the summary of CUnit, "N golden files, M failed",
"N of M files as expected", or lines "ok ..." and "not ok ...". A test that fails without a failed case of its
own (it crashed, or ran out of time) adds one. Prints the failed tests, with what their failed cases say or else the
end of their output, and the skipped ones, then "counts PASSED FAILED SKIPPED".
"""
import json
import re
import sys


def cases(output):
    """(passed, failed) as the output tells, or None."""
    cunit = re.search(r"^\s*tests\s+\d+\s+\d+\s+(\d+)\s+(\d+)\s+\d+\s*$", output, re.M)
    if cunit:
        return int(cunit[1]), int(cunit[2])
    golden = re.search(r"^(\d+) golden files, (\d+) failed", output, re.M)
    if golden:
        return int(golden[1]) - int(golden[2]), int(golden[2])
    files = re.search(r"^(\d+) of (\d+) files as expected", output, re.M)
    if files:
        return int(files[1]), int(files[2]) - int(files[1])
    passed = len(re.findall(r"^ok\b", output, re.M))
    failed = len(re.findall(r"^not ok\b", output, re.M))
    return (passed, failed) if passed + failed > 0 else None


def what_failed(lines):
    """Lines "not ok ..." with the comments behind them; the last lines where there are none."""
    found, inside = [], False
    for line in lines:
        inside = line.startswith("not ok") or inside and line.startswith("#")
        if inside:
            found.append(line)
    return found[:80] or lines[-40:]


def main(path):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    with open(path, encoding="utf-8", errors="replace") as log:
        tests = [json.loads(line) for line in log if line.strip()]
    for test in tests:
        output = test.get("stdout") or ""
        if test["result"] == "SKIP":
            total["skipped"] += 1
            print(f"skipped: {test['name']}: {output.strip().splitlines()[-1] if output.strip() else ''}")
            continue
        fine = test["result"] in ("OK", "EXPECTEDFAIL")
        passed, failed = cases(output) or (int(fine), int(not fine))
        if not fine:
            failed = max(failed, 1)
            print(f"FAILED: {test['name']} ({test['result']}, exit status {test['returncode']})")
            print("\n".join(what_failed((output + (test.get("stderr") or "")).splitlines())))
        total["passed"] += passed
        total["failed"] += failed
    print("counts", total["passed"], total["failed"], total["skipped"])
    return 0 if tests else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
