"""All that names the version says the same, and the library's name has its first two numbers, as dionode/version.h promises.

    check_version.py ROOT VERSION LIBRARY
"""
import os
import re
import sys

root, version, library = sys.argv[1:]
minor = version.rpartition('.')[0]
# File -> what it says, and what it should say, of all places that match.
PLACES = {
    'CHANGELOG.md': (r'^## (\S+) ', version, 1),  # the newest
    'CITATION.cff': (r'^version: (\S+)$', version, None),
    'debian/changelog': (r'^dionode \((\S+)\)', version, 1),
    'debian/control': (r'libdionode(\d\S*)', minor, None),
    f'debian/libdionode{minor}.install': (r'libdionode\.so\.([\d.]*\d)', minor, None),
    f'debian/libdionode{minor}.symbols': (r'^libdionode\.so\.(\S+) ', minor, None),
    'include/dionode/version.h': (r'libdionode(?:\.so\.)?(\d[\d.]*\d)', minor, None),
    'python/dionode/_library.py': (r'libdionode\.so\.([\d.]*\d)', minor, None),
}


def wrong(path, pattern, expected, n, text):
    found = re.findall(pattern, text, re.M)[:n]
    return [] if found and set(found) == {expected} else [f'{path}: {found or "no version"}, and meson.build says {version}']


def read(path):
    """Empty where there is none: it then names no version."""
    path = os.path.join(root, path)
    if not os.path.exists(path):
        return ''
    with open(path, encoding='utf-8') as file:
        return file.read()


def main():
    problems = [line for path, (pattern, expected, n) in PLACES.items() for line in wrong(path, pattern, expected, n, read(path))]
    if not os.path.exists(os.path.join(os.path.dirname(library), f'libdionode.so.{minor}')):
        problems.append(f'{library}: no libdionode.so.{minor} beside it, by which programs find it')
    for text in ('', 'version: 0.0.1', 'version: 0.0.2\nversion: ' + version):  # planted
        if not wrong('planted', *PLACES['CITATION.cff'], text):
            problems.append(f'{text!r} is not noticed')
    print('\n'.join(problems) or f'all name {version}')
    sys.exit(bool(problems))


main()
