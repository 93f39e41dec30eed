#!/usr/bin/env python3
"""How long functions are: for each room of src the number of functions, the median, the ninth decile and the longest,
in lines from the first of a signature to the closing brace; how many are helpers that one place calls.

    scripts/function_lengths.py [ROOM...]           all rooms of src; room/file.c: that file alone
    scripts/function_lengths.py --list N [ROOM...]  also the functions of N lines and more, the longest first

It reads the text as clang-format sets it: a body begins with { and ends with } in the first column.
"""
import os
import re
import sys

SRC = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'src')


def functions(path):
    """(name, lines, is static) of each function of a file."""
    with open(path) as file:
        lines = file.read().split('\n')
    for start, line in enumerate(lines):
        if line != '{':
            continue
        first = start - 1
        while first > 0 and lines[first - 1] and not re.match(r'[#}/]|.*(;|\*/)$', lines[first - 1]):
            first -= 1
        signature = ' '.join(lines[first:start])
        name = re.match(r'[^(]*?(\w+)\(', signature)
        if name:
            end = next(i for i in range(start, len(lines)) if lines[i] == '}')
            yield name.group(1), end - first + 1, signature.startswith('static')


def files(room):
    at = os.path.join(SRC, room)
    if os.path.isfile(at):
        return [at]
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(at) for name in names
                  if name.endswith(('.c', '.h')))


def called_once(path):
    """Helpers of a file that appear twice in it: where they are defined and in one other place."""
    with open(path) as file:
        words = re.findall(r'\w+', re.sub(r'/\*.*?\*/', '', file.read(), flags=re.S))
    return sum(words.count(name) == 2 for name, _, static in functions(path) if static)


def show(room, found, once):
    lengths = sorted(length for _, length, _ in found)
    n = len(lengths)
    if n:
        print(f'{room:<28}{n:>6}{lengths[n // 2]:>8}{lengths[min(n - 1, n * 9 // 10)]:>8}{lengths[-1]:>8}{once:>8}')


def main():
    arguments = sys.argv[1:]
    if arguments[:1] in (['-h'], ['--help']):
        print(__doc__.strip())
        return
    longest = int(arguments[1]) if arguments[:1] == ['--list'] else None
    rooms = arguments[2:] if longest is not None else arguments
    rooms = rooms or sorted(name for name in os.listdir(SRC) if os.path.isdir(os.path.join(SRC, name)))
    print(f'{"room":<28}{"n":>6}{"median":>8}{"ninth":>8}{"longest":>8}{"once":>8}')
    everything, all_once = [], 0
    for room in rooms:
        found = [function for path in files(room) for function in functions(path)]
        once = sum(called_once(path) for path in files(room))
        show(room, found, once)
        everything += found
        all_once += once
    show('all', everything, all_once)
    for name, length, _ in sorted(everything, key=lambda f: -f[1]):
        if longest is not None and length >= longest:
            print(f'{length:6}  {name}')


main()
