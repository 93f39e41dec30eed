"""Plants faults in what makes models those of others, one by one, and shows which test notices.

    tests/mutation/weaken_models.py [NUMBER...]

The tests are those of ./check's short tier and take seconds. Whoever rewrites a layer or reads another family plants the same
faults in what is new. By hand: takes some ten minutes.
"""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HF, MESH, TUNED = 'hf_f64', 'nn_mesh_f64', 'tune_runs'

# What is wrong then, the test that notices it, and in which files what becomes what.
FAULTS = [
    ('heads turn the other way', HF, ('src/nn/rotary.c', '-a->turn * dn_rotary', 'a->turn * dn_rotary')),
    ('a gain is dropped', HF, ('src/nn/norm.c', '    if (!spec->gain)\n        return norm->n;\n    dn_layer_gather',
                               '    if (spec)\n        return norm->n;\n    dn_layer_gather')),
    ('every rank of tp adds the bias of o', MESH,
     ('src/nn/attention.c', '        dn_bias_forward(s, pass->x, dn_layer_weight(pass, layer, o_bias_of(spec)), N);',
                            '        for (int rank = 0; rank < pass->tp_size; rank++)\n'
                            '            dn_bias_forward(s, pass->x, dn_layer_weight(pass, layer, o_bias_of(spec)), N);')),
    ('query head h reads head h mod NKV of the keys', HF, ('src/compute/cpu/attention.c', 'kv = h / (x->NH / x->NKV);', 'kv = h % x->NKV;')),
    ('a tied head adds nothing to the gradient of the embedding', HF,
     ('src/nn/head.c', '    if (scale != 0)\n        dn_linear_backward(',
                       '    dn_weight own = *w;\n    dn_weight_block blocks[256];\n'
                       '    for (size_t i = 0; i < own.n_blocks; i++)\n        blocks[i] = own.blocks[i];\n'
                       '    for (size_t i = 0; i < own.n_blocks && dn_spec_is_tied(pass->spec); i++)\n        blocks[i].grad = NULL;\n'
                       '    own.blocks = blocks;\n    w = &own;\n'
                       '    if (scale != 0)\n        dn_linear_backward(')),
    ('the gradient is a mean over all targets', TUNED,
     ('src/train/instance.c', 'before / (double)dn_max(counted, 1)', 'before / (double)(n * plan->spec.T)')),
    ('q, k and v of gpt_neox are read as thirds', HF,
     ('src/formats/hf.c', 't->by_head ? spec->attention.hd : param->tensor.rows', 'param->tensor.rows')),
]


def build(tree):
    return subprocess.run(['ninja', '-C', os.path.join(tree, 'build'), '--quiet', 'dionode', 'tests/oracle_f64', 'tests/ranks_f64'],
                          check=False).returncode == 0


def passes(tree, test):
    return subprocess.run(['meson', 'test', '-C', os.path.join(tree, 'build'), '--no-rebuild', test],
                          stdout=subprocess.DEVNULL, check=False).returncode == 0


def plant(tree, path, old, new):
    """Changes a file; gives what it was."""
    place = os.path.join(tree, path)
    with open(place, encoding='utf-8') as file:
        text = file.read()
    if text.count(old) != 1:
        sys.exit(f'{path}: {text.count(old)} times: {old}\nThe code has changed; plant the fault where it belongs now.')
    with open(place, 'w', encoding='utf-8') as file:
        file.write(text.replace(old, new))
    return text


def main():
    chosen = [int(number) for number in sys.argv[1:]] or range(1, len(FAULTS) + 1)
    unnoticed = 0
    with tempfile.TemporaryDirectory() as tree:
        shutil.copytree(ROOT, tree, dirs_exist_ok=True, ignore=lambda _, names: [n for n in names if n.startswith(('build', '.git'))])
        subprocess.run(['meson', 'setup', os.path.join(tree, 'build'), tree], stdout=subprocess.DEVNULL, check=True)
        if not build(tree):
            sys.exit('the tree does not build')
        for test in HF, MESH, TUNED:
            if not passes(tree, test):
                sys.exit(f'{test} fails without any fault')
        for number in chosen:
            name, test, (path, old, new) = FAULTS[number - 1]
            before = plant(tree, path, old, new)
            if not build(tree):
                sys.exit(f'{name}: does not build')
            noticed = not passes(tree, test)
            print(f'{number} {name}: ' + (f'noticed by {test}' if noticed else f'UNNOTICED by {test}'), flush=True)
            unnoticed += not noticed
            with open(os.path.join(tree, path), 'w', encoding='utf-8') as file:
                file.write(before)
    return unnoticed > 0


if __name__ == '__main__':
    sys.exit(main())
