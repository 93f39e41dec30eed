"""All executions that C11 allows of a few short threads: a checker of memory orders.

The rules are those of RC11 (Lahav, Vafeiadis, Kang, Hur, Dreyer, "Repairing sequential consistency in C/C++11", PLDI
2017), without plain accesses and with one kind of fence (executions); release sequences as in C++20. Every choice of which write a read reads
from, and in which order writes to a place become visible, is tried, and kept where no rule forbids it.

A thread is a list of operations (kind, place, order, value): 'load'; 'store' of value; 'add' of value and 'swap' to value,
which read and write at once. Places begin at 0. What an execution is known by is what its reads read, in the order of
threads and operations.
"""
import itertools

RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST = 'relaxed', 'acquire', 'release', 'acq_rel', 'seq_cst'
ACQUIRES, RELEASES = {ACQUIRE, ACQ_REL, SEQ_CST}, {RELEASE, ACQ_REL, SEQ_CST}


class Event:
    def __init__(self, thread, kind, place, order, value):
        self.thread, self.kind, self.place, self.order, self.value = thread, kind, place, order, value
        self.reads, self.writes = kind != 'store', kind != 'load'


def compose(a, b):
    return {(x, z) for x, y in a for y2, z in b if y == y2}


def closure(pairs):
    """Transitive."""
    reach = {}
    for x, y in pairs:
        reach.setdefault(x, set()).add(y)
    grown = True
    while grown:
        grown = False
        for x, found in reach.items():
            more = set().union(*(reach.get(y, set()) for y in found)) - found
            if more:
                found |= more
                grown = True
    return {(x, y) for x, found in reach.items() for y in found}


def acyclic(pairs):
    return all(x != y for x, y in closure(pairs))


def values_read(events, source):
    """Value that each reading event reads; None where reads wait for each other in a circle."""
    known = {}

    def written(i, depth):
        e = events[i]
        if e.kind == 'add':
            before = read(i, depth)
            return None if before is None else before + e.value
        return e.value

    def read(i, depth):
        if depth > len(events):
            return None
        if i not in known:
            known[i] = written(source[i], depth + 1)
        return known[i]

    for i in source:
        if read(i, 0) is None:
            return None
    return known


def synchronizes(events, source):
    """Who releases what whom acquires: reads of the released write, or of the last of additions upon it."""
    pairs = set()
    for r, w in source.items():
        while events[r].order in ACQUIRES:
            if events[w].order in RELEASES:
                pairs.add((w, r))
            if not events[w].reads:
                break
            w = source[w]
    return pairs


def consistent(events, before, fenced, source, visible):
    """Whether RC11 allows reads from `source` {read: write}, with pairs `visible` of the order of writes."""
    place = [e.place for e in events]
    reads_from = {(w, r) for r, w in source.items()}
    overtakes = {(r, later) for r, w in source.items() for w2, later in visible if w2 == w and later != r}
    happens = closure(before | fenced | synchronizes(events, source))
    touches = closure(reads_from | visible | overtakes)
    if any(x == y for x, y in happens) or any(x == y for x, y in compose(happens, touches)):
        return False
    for r, w in source.items():  # nothing comes between the two halves of one that reads and writes
        if events[r].writes and any((w, x) in visible and (x, r) in visible for x in range(len(events))):
            return False
    elsewhere = {(x, y) for x, y in before if place[x] != place[y]}
    in_turn = (before | compose(compose(elsewhere, happens), elsewhere) | visible | overtakes |
               {(x, y) for x, y in happens if place[x] == place[y]})
    total = {(x, y) for x, y in in_turn if events[x].order == events[y].order == SEQ_CST}
    return acyclic(total) and acyclic(before | reads_from)


def executions(threads, fence=None):
    """The set of what the reads of `threads` can read, as tuples. fence (i, j): thread 1, before its operation j, makes
    thread 0 execute a full fence, which it does before its operation i; both know all that the other did before."""
    places = sorted({operation[1] for thread in threads for operation in thread})
    events = [Event(None, 'store', place, RELAXED, 0) for place in places]
    n_first = len(events)
    for number, thread in enumerate(threads):
        events += [Event(number, *operation) for operation in thread]
    before = {(x, y) for x in range(len(events)) for y in range(n_first, len(events))
              if x < n_first or (events[x].thread == events[y].thread and x < y)}
    fenced = set()
    if fence:
        first, second = ([i for i, e in enumerate(events) if e.thread == number] for number in range(2))
        fenced = set(itertools.product(first[:fence[0]], second[fence[1]:])) | set(itertools.product(second[:fence[1]],
                                                                                                   first[fence[0]:]))
    readers = [i for i, e in enumerate(events) if e.reads]
    writers = {p: [i for i, e in enumerate(events) if e.writes and e.place == p] for p in places}
    orders = [[(w[0],) + rest for rest in itertools.permutations(w[1:])] for w in writers.values()]
    found = set()
    for sources in itertools.product(*([w for w in writers[events[r].place] if w != r] for r in readers)):
        source = dict(zip(readers, sources))
        values = values_read(events, source)
        if values is None or tuple(values[r] for r in readers) in found:
            continue
        for chosen in itertools.product(*orders):
            visible = {pair for order in chosen for pair in itertools.combinations(order, 2)}
            if consistent(events, before, fenced, source, visible):
                found.add(tuple(values[r] for r in readers))
                break
    return found


def self_test():
    """What everybody agrees on: message passing and store buffering, with orders that suffice and with weaker ones."""
    def passing(store, load):
        return executions([[('store', 'data', RELAXED, 1), ('store', 'flag', store, 1)],
                           [('load', 'flag', load, None), ('load', 'data', RELAXED, None)]])

    def buffering(a, b, c, d, fence=None):
        return executions([[('store', 'x', a, 1), ('load', 'y', b, None)], [('store', 'y', c, 1), ('load', 'x', d, None)]], fence)
    assert (1, 0) not in passing(RELEASE, ACQUIRE) and (1, 1) in passing(RELEASE, ACQUIRE)
    assert (1, 0) in passing(RELAXED, ACQUIRE) and (1, 0) in passing(RELEASE, RELAXED)
    assert (0, 0) not in buffering(SEQ_CST, SEQ_CST, SEQ_CST, SEQ_CST)
    for weak in range(4):
        orders = [SEQ_CST] * 4
        orders[weak] = RELEASE if weak % 2 == 0 else ACQUIRE
        assert (0, 0) in buffering(*orders)
    for i in range(3):
        assert (0, 0) not in buffering(*[RELAXED] * 4, (i, 1))
    assert (0, 0) in buffering(*[RELAXED] * 4, (0, 0))  # a fence too early
    both = executions([[('add', 'n', RELAXED, 1)], [('add', 'n', RELAXED, 1)]])
    assert both == {(0, 1), (1, 0)}, both
    chain = executions([[('store', 'data', RELAXED, 1), ('add', 'n', RELEASE, 1)], [('add', 'n', RELAXED, 1)],
                        [('load', 'n', ACQUIRE, None), ('load', 'data', RELAXED, None)]])
    assert (0, 1, 2, 0) not in chain and (0, 1, 2, 1) in chain
