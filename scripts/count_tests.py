"""Counts the cases in the JUnit logs that meson wrote in the named build folders: 'N passed, N failed, N skipped'."""
import sys
import xml.etree.ElementTree as xml

passed = failed = skipped = 0
for build in sys.argv[1:]:
    for suite in xml.parse(f"{build}/meson-logs/testlog.junit.xml").getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.find("skipped") is not None:
                skipped += 1
                print("skipped:", suite.get("name"), case.get("name"))
            else:
                passed += 1
print(f"{passed} passed, {failed} failed, {skipped} skipped")
