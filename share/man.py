"""Writes the manual pages from what the program says of itself: dionode.1, all commands, and dionode.5, all keys.

    man.py PROGRAM FOLDER
"""
import os
import re
import subprocess
import sys

# argp's help with every paragraph on one line.
ENVIRONMENT = dict(os.environ, ARGP_HELP_FMT='rmargin=20000,no-dup-args-note', LC_ALL='C.UTF-8')
OPTION = re.compile(r'^ {2,6}(-\S.*?)(?: {2,}(\S.*))?$')


def ask(program, *arguments):
    return subprocess.run([program, *arguments], env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout


def roff(text):
    """Text as it is: no escapes, no requests, minus signs that can be searched for and copied; lists of choices may be broken."""
    text = text.replace('\\', r'\e').replace('-', r'\-').replace('|', r'|\:')
    return r'\&' + text if text.startswith(('.', "'")) else text


def entry(term, meaning):
    return ['.TP', r'\fB' + roff(term) + r'\fR', roff(meaning)]


def rows(text):
    """(word, rest) of lines as '  train      train a model'."""
    return [line.split(None, 1) for line in text.splitlines() if line.startswith('  ')]


def described(text):
    """Help of one command, below its usage line: paragraphs, options and tables."""
    out, wants_meaning = [], False
    for line in text.splitlines():
        option = OPTION.match(line)
        if option:
            out += entry(option[1], option[2] or '')
            wants_meaning = not option[2]
        elif wants_meaning:
            out[-1] = roff(line.strip())
            wants_meaning = False
        elif line.startswith('  '): # a table
            out += ['.nf', roff(line), '.fi']
        elif line:
            out += ['.PP', roff(line)]
    return out


def command(program, words):
    """A section a command; one that has commands of its own: a section each."""
    usage, _, text = ask(program, *words, '--help').partition('\n')
    inner = re.search(r'^Commands:\n((?:  .*\n)+)', text, re.M)
    if inner:
        return [line for name, _ in rows(inner[1]) for line in command(program, words + [name])]
    return ['.SS ' + roff(' '.join(words)), '.B ' + roff(usage.removeprefix('Usage: ').strip()), *described(text)]


def title(program, section, name):
    version = ask(program, '--version').splitlines()[0]
    return [f'.TH DIONODE {section} "" "{version}"', '.ad l', '.SH NAME', name]


def commands_page(program):
    usage, about, commands, _, status = re.fullmatch(
        r'Usage: (.*)\n(.*)\n\nCommands:\n((?:  .*\n)+)\n(.*)\n\nExit status: ([\s\S]*)', ask(program, '--help')).groups()
    page = title(program, 1, r'dionode \- ' + roff(about[0].lower() + about[1:].rstrip('.')))
    page += ['.SH SYNOPSIS', '.B ' + roff(usage), '.SH COMMANDS']
    for name, _ in rows(commands):
        page += command(program, [name])
    page += ['.SH EXIT STATUS']
    for part in re.split(r';\s*', status.strip().rstrip('.')):
        number, meaning = part.split(None, 1)
        page += entry(number, ' '.join(meaning.split()))
    return page + ['.SH SEE ALSO', r'.BR dionode (5)']


def keys_page(program):
    page = title(program, 5, r'dionode \- configuration of a training run')
    page += ['.SH DESCRIPTION', 'A configuration is one flat YAML mapping in UTF\\-8. On the command line',
             r'.IR key = value', 'changes it;', '.B null', 'is the default.', '.SH KEYS']
    for line in ask(program, 'train', '--keys').splitlines()[1:]:
        key, default, meaning = line.split(None, 2)
        page += entry(key, f'{meaning}. Default: {default}')
    return page + ['.SH SEE ALSO', r'.BR dionode (1)']


def main():
    program, folder = sys.argv[1:]
    for section, page in (1, commands_page(program)), (5, keys_page(program)):
        with open(os.path.join(folder, f'dionode.{section}'), 'w', encoding='utf-8') as file:
            file.write('\n'.join(page) + '\n')


main()
