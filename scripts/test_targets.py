"""What ninja has to build for the tests of a tier: all, but for the short one under sanitizers no more than it runs.

Usage: test_targets.py BUILD-DIR short|full"""
import json
import os
import sys

build, tier = sys.argv[1:]


def told(about):
    with open(f"{build}/meson-info/intro-{about}.json") as file:
        return json.load(file)


if tier == "full" or any(option["name"] == "b_sanitize" and option["value"] == "none" for option in told("buildoptions")):
    print("all")
    sys.exit()
needed = {target for test in told("tests") if not any(suite.endswith(":full") for suite in test["suite"])
          for target in test["depends"]}
print(*(os.path.relpath(file, build) for target in told("targets") if target["id"] in needed
        for file in target["filename"]))
