"""Prints the rows of `dionode bench comm --json FILE` as tables for docs/comm.md.

    comm_tables.py FILE...
"""
import json
import sys


def microseconds(value):
    return f'{value:.2f}' if value < 100 else f'{value:.0f}'


def line(row):
    mpi = row.get('mpi_p50_us')
    cells = [row['ranks'], row['bytes'], microseconds(row['p50_us']), microseconds(row['p99_us']),
             f"{row['bytes_moved']:.0f}", f"{100 * row['triad_share']:.0f}",
             microseconds(mpi) if mpi else '', f"{mpi / row['p50_us']:.2f}" if mpi else '']
    return '| ' + ' | '.join(str(cell) for cell in cells) + ' |'


rows = [row for path in sys.argv[1:] for row in json.load(open(path))["rows"]]
for op in dict.fromkeys(row['op'] for row in rows):
    print(f'\n{op}\n\n| ranks | bytes | p50 us | p99 us | moved | % of triad | MPI p50 us | MPI/ours |')
    print('|---:|---:|---:|---:|---:|---:|---:|---:|')
    print('\n'.join(line(row) for row in rows if row['op'] == op))
