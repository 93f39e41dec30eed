"""What the tests of several build folders said: what failed cases printed, seconds of each suite, then
'N passed, N failed, N skipped'.

Usage: count_tests.py LOG...   each LOG the .json that meson test wrote, beside its .junit.xml"""
import collections
import json
import re
import sys
import xml.etree.ElementTree as xml

passed = failed = skipped = 0
logs = sys.argv[1:]
seconds = collections.defaultdict(lambda: [0.0] * len(logs))  # of all programs of a suite, in each log
for column, log in enumerate(logs):
    bad = set()  # programs that failed as a whole, perhaps with no case to blame
    for line in open(log):
        program = json.loads(line)
        suites = program["name"].partition(" / ")[0] 
        seconds[suites.partition(":")[2].partition("+")[0]][column] += program["duration"]
        if program["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
            bad.add(program["name"])
            print(f"failed: {log.split('/')[0]} {program['name']}, {program['result']}")
            for case in re.findall(r"^not ok.*(?:\n(?!ok |not ok ).*)*", program.get("stdout", ""), re.M):
                print(case)  # meson itself shows no standard output of such programs
    for suite in xml.parse(log.removesuffix(".json") + ".junit.xml").getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            names = case.get("name"), suite.get("name").partition(".")[2]
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                bad.difference_update(names)
            elif case.find("skipped") is not None:
                skipped += 1
                print("skipped:", suite.get("name"), case.get("name"))
            elif not suite.get("name").partition(".")[2] and case.get("name") in bad:
                pass  # counted below: meson writes no failure for a program that ran out of time
            else:
                passed += 1
    failed += len(bad)

print(f"{'seconds':<10}" + "".join(f"{log.split('/')[0]:>22}" for log in logs))
for suite in sorted(seconds):
    print(f"{suite:<10}" + "".join(f"{of_log:>22.0f}" for of_log in seconds[suite]))
print(f"{passed} passed, {failed} failed, {skipped} skipped")
