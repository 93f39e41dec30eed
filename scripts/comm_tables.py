"""Prints the rows of `dionode bench comm --json FILE` as tables for docs/comm.md.

    comm_tables.py FILE...
"""
import json
import sys


def microseconds(value):
    return f'{value:.2f}' if value < 100 else f'{value:.0f}'


def percent(share):
    return '' if share is None else f'{100 * share:.0f}'


def line(row):
    mpi = row.get('mpi_p50_us')
    cells = [row['ranks'], row['bytes'], microseconds(row['p50_us']), microseconds(row['p99_us']),
             f"{row['bytes_moved']:.0f}", f"{100 * row['triad_share']:.0f}",
             percent(row.get('overlap')), microseconds(mpi) if mpi else '', f"{mpi / row['p50_us']:.2f}" if mpi else '',
             percent(row.get('mpi_overlap'))]
    return '| ' + ' | '.join(str(cell) for cell in cells) + ' |'


def title(row):
    return row['op'] + {True: ', in place', False: ', out of place', None: ''}[row['in_place']]


rows = [row for path in sys.argv[1:] for row in json.load(open(path))["rows"]]
for name in dict.fromkeys(map(title, rows)):
    print(f'\n{name}\n\n| ranks | bytes | p50 us | p99 us | moved | % of triad | overlap % | MPI p50 us | MPI/ours | MPI overlap % |')
    print('|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|')
    print('\n'.join(line(row) for row in rows if title(row) == name))
