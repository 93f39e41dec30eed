"""The program, as the wheel has it: dionode, or python -m dionode."""
import os
import pathlib
import sys


def main():
    program = pathlib.Path(__file__).with_name("dionode")
    if not program.exists():
        sys.exit("dionode: this package has no program of its own; the one that is installed is meant")
    os.execv(program, ["dionode", *sys.argv[1:]])


if __name__ == "__main__":
    main()
