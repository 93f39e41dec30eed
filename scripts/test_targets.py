"""What ninja has to build for the tests of a tier: all, but for the short one what only the long one runs is left out, and under
sanitizers whatever no test runs.

Usage: test_targets.py BUILD-DIR short|full"""
import json
import os
import sys

build, tier = sys.argv[1:]


def told(about):
    with open(f"{build}/meson-info/intro-{about}.json") as file:
        return json.load(file)


if tier == "full":
    print("all")
    sys.exit()
short, long = set(), set()
for test in told("tests"):
    (long if any(suite.endswith(":full") for suite in test["suite"]) else short).update(test["depends"])
is_sanitized = any(option["name"] == "b_sanitize" and option["value"] != "none" for option in told("buildoptions"))
print(*(os.path.relpath(file, build) for target in told("targets")
        if target["id"] in short or not is_sanitized and target["build_by_default"] and target["id"] not in long
        for file in target["filename"]))
