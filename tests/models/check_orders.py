"""The memory orders of the handshake between wakers and sleepers, of rings, failures and joining, as they stand in the C
source: strong enough for every execution that C11 allows, and none stronger than that.

    check_orders.py ROOT

No run on x86 can tell: its loads, and its operations that read and write at once, are the same instructions whatever the
order. So the operations are read from the source, function by function, and all their executions searched
(weak_memory.py). Then each order is made weaker, to every weaker one there is, and some execution must go wrong.

A sleeper reads the futex word, counts itself, makes all others execute a fence, reads the word, and sleeps unless the word has
changed; the kernel makes that last comparison and the wake-up one after the other. So a wake-up is lost in two ways:

    nobody is woken   the waker counts no sleepers, and the sleeper sees nothing of what was written
    woken too early   the futex word was raised before the sleeper read it, and the sleeper sees nothing nevertheless
"""
import os
import re
import sys

import weak_memory
from weak_memory import ACQ_REL, ACQUIRE, RELAXED, RELEASE, SEQ_CST

# Function -> file and its atomic operations in order, each with the text by which its place is known.
FUNCTIONS = {
    'poll_word': ('src/shm/wait.c', [('load', 'word')]),
    'dn_control_aborted': ('src/shm/control.h', [('load', 'abort.word')]),
    'sleep_once': ('src/shm/wait.c', [('load', '->wakes'), ('fetch_add', '->sleepers'), ('fetch_sub', '->sleepers')]),
    'dn_wait_post': ('src/shm/wait.c', [('store', 'word'), ('load', '.sleepers')]),
    'dn_control_wake': ('src/shm/control.c', [('fetch_add', '->wakes')]),
    'dn_world_abort': ('src/shm/control.c', [('compare_exchange_strong', '->word'), ('store', '->word')]),
    'dn_world_failure': ('src/shm/control.c', [('load', '->word'), ('load', '->word')]),
    'count_present': ('src/shm/rendezvous.c', [('compare_exchange_strong', '.pid'), ('fetch_add', '->n_present')]),
    'await_all': ('src/shm/rendezvous.c', [('load', '->n_present')]),
}
WEAKER = {SEQ_CST: {'load': [ACQUIRE, RELAXED], 'store': [RELEASE, RELAXED], 'fetch_add': [ACQ_REL, ACQUIRE, RELEASE, RELAXED]},
          ACQ_REL: {'fetch_add': [ACQUIRE, RELEASE, RELAXED]}}
FENCED = 2  # the sleeper's operation before which it fences; read_orders checks that it does
CALL = re.compile(r'atomic_(\w+?)_explicit\(([^;]*?)memory_order_(\w+)', re.S)


def read_orders(root):
    """(function, number of the operation) -> (kind, order)."""
    orders = {}
    for name, (path, expected) in FUNCTIONS.items():
        with open(os.path.join(root, path), encoding='utf-8') as file:
            text = file.read()
        body = re.search(r'^[a-z][^;{}]*\b' + name + r'\([^;{}]*\)\n\{\n(.*?)^\}', text, re.M | re.S)
        found = CALL.findall(body.group(1)) if body else []
        if name == 'sleep_once' and 'fence_all();' not in body.group(1).split('->sleepers')[1].split('poll_word')[0]:
            sys.exit(f'{path}: sleep_once does not fence between counting itself and its look at the word')
        if len(found) != len(expected) or any(kind != want or place not in argument.split(',')[0] for
                                              (kind, argument, _), (want, place) in zip(found, expected)):
            sys.exit(f'{path}: the atomic operations of {name} are not those known here: teach both')
        for number, (kind, _, order) in enumerate(found):
            orders[name, number] = (kind, order)
    return orders


def mistakes(orders):
    """Names of what can go wrong with these orders."""
    def of(function, number=0):
        return orders[function, number][1]

    raise_word = ('add', 'wakes', of('dn_control_wake'), 1)
    sleeper = [('load', 'wakes', of('sleep_once'), None), ('add', 'sleepers', of('sleep_once', 1), 1),
               ('load', 'abort', of('dn_control_aborted'), None), ('load', 'word', of('poll_word'), None)]
    post = [('store', 'word', of('dn_wait_post'), 1), ('load', 'sleepers', of('dn_wait_post', 1), None)]
    claim = ('swap', 'abort', of('dn_world_abort'), 1)
    tell = ('store', 'abort', of('dn_world_abort', 1), 2)
    neighbour = [('add', 'sleepers', of('sleep_once', 1), 1)]  # asleep on another word of the same rank
    found = set()
    for i in range(len(post) + 1):  # wherever the sleeper's fence, before its operation FENCED, meets the waker
        for n, _, _, _, word in weak_memory.executions([post, sleeper], (i, FENCED)):
            if n == 0 and word == 0:
                found.add('a post wakes nobody')
    for i in range(len(post) + 2):
        for n, _, wakes, _, _, word, _ in weak_memory.executions([post + [raise_word], sleeper, neighbour], (i, FENCED)):
            if n > 0 and wakes == 1 and word == 0:
                found.add('a post wakes too early')
    for _, _, wakes, _, abort, _ in weak_memory.executions([[claim, tell, raise_word], sleeper]):
        if wakes == 1 and abort == 0:
            found.add('a failure wakes too early')
    message = ('store', 'record', RELAXED, 1)
    for number in range(2):
        hears = [('load', 'abort', of('dn_world_failure', number), None), ('load', 'record', RELAXED, None)]
        for _, abort, told in weak_memory.executions([[claim, message, tell], hears]):
            if abort == 2 and told == 0:
                found.add('a failure is seen before its message')
    writes = [('store', 'message', RELAXED, 1), ('store', 'word', of('dn_wait_post'), 1)]
    for word, message in weak_memory.executions([writes, [('load', 'word', of('poll_word'), None),
                                                         ('load', 'message', RELAXED, None)]]):
        if word == 1 and message == 0:
            found.add('a post is seen before what was written before it')
    present = ('add', 'present', of('count_present', 1), 1)
    waits = [('load', 'present', of('await_all'), None), ('load', 'pid', RELAXED, None)]
    for _, _, _, n, pid in weak_memory.executions([[('swap', 'pid', of('count_present'), 7), present], [present], waits]):
        if n == 2 and pid == 0:
            found.add('a rank that is present has no pid')
    return found


def weaker_ones(kind, order):
    if order in (ACQUIRE, RELEASE):
        return [RELAXED]
    return WEAKER.get(order, {}).get(kind, [])


def main():
    weak_memory.self_test()
    orders = read_orders(sys.argv[1])
    wrong = mistakes(orders)
    for mistake in sorted(wrong):
        print(f'C11 allows: {mistake}')
    failed = bool(wrong)
    for (name, number), (kind, order) in orders.items():
        for weaker in weaker_ones(kind, order):
            allowed = mistakes({**orders, (name, number): (kind, weaker)})
            what = f'{name}: {kind} of {FUNCTIONS[name][1][number][1]} {order} -> {weaker}'
            print(f'{what}: {", ".join(sorted(allowed)) or "NOTHING GOES WRONG: this order is stronger than needed"}')
            failed |= not allowed
    sys.exit(1 if failed else 0)


main()
