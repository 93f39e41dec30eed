"""Generation, text and training of other people's models, beside transformers, llama.cpp and tokenizers: one table.

    bench/models.py BUILD RUN [--pairs N] [--train-pairs N] [--only decode,prefill,text,train]
                    [--text FILE] [--gpt2 TOKENIZER] [--spm TOKENIZER.MODEL]

BUILD is a build folder with bench/, RUN the quickstart's checkpoint_dir. All programs read the same random weights, which dionode makes
and exports; where transformers, xllamacpp (llama.cpp), tokenizers, tiktoken or sentencepiece are not installed, their cells stay empty.
In each of nine rounds every program has its turn, at each measurement, so that what else the machine does meets all of them alike;
cells are medians (quartiles). The bound is what the same threads read of memory in the same process, right after (--stats).

TEXT (8 MB of it are used) and TOKENIZERs, GPT-2's tokenizer.json and one of SentencePiece, are those at hand. Without GPT-2's llama.cpp,
which opens no model of more than 256 tokens without a vocabulary, has no cells of that model.
Ten minutes or so on two cores, of which `train` takes half.
"""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

from arguments import Arguments

os.environ.setdefault('HF_HUB_OFFLINE', '1')
SMALL = {'architecture': 'llama', 'model_dim': 256, 'n_layer': 4, 'n_head': 4, 'mlp_dim': 683, 'vocab_size': 256, 'max_positions': 256}
GPT2 = {'architecture': 'gpt2', 'model_dim': 768, 'n_layer': 12, 'n_head': 12, 'vocab_size': 50257, 'max_positions': 1024}
PRESENT = {'model_dim': 768, 'n_layer': 12, 'n_head': 6, 'vocab_size': 50304}  # microsoft/dion's 160M
PROMPT, TOKENS = 512, 128  # of the large model
THREADS = len(os.sched_getaffinity(0))


def output_of(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f'{" ".join(map(str, command))}\n{done.stderr}')
    return done.stdout + done.stderr


def cell(values, form='{:.0f}'):
    """Median and quartiles."""
    values = list(values)
    if not values:
        return ''
    low, median, high = statistics.quantiles(values, n=4, method='inclusive') if len(values) > 1 else values * 3
    return f'{form} ({form} to {form})'.format(median, low, high)


class Dionode:
    def __init__(self, build, place):
        self.program, self.bench, self.place = build.resolve() / 'dionode', build.resolve() / 'bench', place

    def train(self, name, keys):
        """A run of `keys`; its metrics, a dictionary for each step."""
        tokens, config, run = self.place / 'tokens', self.place / 'empty.yaml', self.place / name
        tokens.write_bytes(bytes(i * i % 251 for i in range(1 << 15)))
        config.write_text('optimizer: dion\n')
        keys = {'val_tokens': 0, 'train_files': tokens, 'checkpoint_dir': run, 'device_batch_size': 1, 'dp_size': 1, **keys}
        output_of(self.program, 'train', '--np', 1, config, *(f'{key}={value}' for key, value in keys.items()))
        return [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]

    def make(self, name, keys, *tokenizer):
        """Random weights: Hugging Face folders and GGUF files in float32 and bfloat16."""
        self.train(name, {**keys, 'lr': 0, 'num_iterations': 1, 'batch_size': 1, 'sequence_length': 64})
        for kind in ('hf', 'gguf'):
            for dtype in ('float32', 'bfloat16'):
                output_of(self.program, 'export', self.place / name, '-o', self.place / f'{name}.{kind}.{dtype}', '--format', kind,
                          '--dtype', dtype, *tokenizer)

    def generate(self, model, prompt, tokens, *options):
        """tokens/s of the prompt and of tokens one by one, and the share of bandwidth that these come to, in percent."""
        said = output_of(self.program, 'generate', model, prompt, '--tokens', tokens + 1, '--temperature', 0, '--stats', *options)
        prefill = re.search(r'prefill: .* ([\d.]+) tokens/s', said)
        decode = re.search(r'decode: .* s, ([\d.]+) tokens/s; .* ([\d.]+) % of the', said.replace('\n', ' '))
        return float(prefill[1]), float(decode[1]), float(decode[2])


class Transformers:
    """Greedy, keys and values cached."""

    def __init__(self):
        import torch
        import transformers
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        warnings.simplefilter('ignore')  # names of arguments that change
        torch.set_num_threads(THREADS)
        self.torch, self.load, self.models = torch, transformers.AutoModelForCausalLM.from_pretrained, {}

    def generate(self, folder, prompt, tokens):
        torch = self.torch
        if folder not in self.models:
            self.models[folder] = self.load(folder, dtype='auto').eval()
        with torch.no_grad():
            begin = time.perf_counter()
            out = self.models[folder](torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
            middle = time.perf_counter()
            for _ in range(tokens):
                out = self.models[folder](out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)
            return len(prompt) / (middle - begin), tokens / (time.perf_counter() - middle)


class LlamaCpp:
    def __init__(self):
        self.package, self.servers = __import__('xllamacpp'), {}

    def generate(self, folder, prompt, tokens):
        if folder not in self.servers:
            params = self.package.CommonParams()
            params.model.path = str(folder / 'model.gguf')
            params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 1024, 1, True, -1
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
            self.servers[folder] = self.package.Server(params)
        said = self.servers[folder].handle_completions({'prompt': prompt, 'n_predict': tokens + 1, 'temperature': 0, 'ignore_eos': True,
                                                        'cache_prompt': False})
        return said['timings']['prompt_per_second'], said['timings']['predicted_per_second']


def ids(n):
    return [i * 7 % 200 for i in range(n)]


def rounds(n, measurements):
    """{name: [result of each round]}; a first round only warms up."""
    results = {name: [] for name in measurements}
    for i in range(n + 1):
        for name, measure in measurements.items():
            result = measure()
            if i > 0:
                results[name].append(result)
        print(f'round {i} of {n}', file=sys.stderr, flush=True)
    return results


def decode(given, ours, theirs):
    ours.make('small', SMALL)
    ours.make('gpt2', GPT2, *(['--tokenizer', given.gpt2] if given.gpt2 else []))
    rows = {  # what: (model, its type, prompt, tokens, options)
        "quickstart's run, until its 256 positions are full": (given.run, None, 1, 254, []),
        "quickstart's run, 1,000 tokens": (given.run, None, 1, 999, []),
        'llama, 3.3 M parameters, until 256 positions are full': ('small', 'float32', 1, 254, []),
        f'gpt2, 124 M parameters, {TOKENS} tokens behind {PROMPT}': ('gpt2', 'float32', PROMPT, TOKENS, []),
        'the same, weights in bfloat16': ('gpt2', 'bfloat16', PROMPT, TOKENS, ['--weights', 'bfloat16'])}
    work = {}
    if 'llama.cpp' in theirs and not given.gpt2:
        print('llama.cpp: rows of gpt2 are skipped without --gpt2', file=sys.stderr)
    for row, (model, dtype, n_prompt, tokens, options) in rows.items():
        prompt, hf = ids(n_prompt), ours.place / f'{model}.hf.{dtype}' if dtype else model
        work[row, 'dionode'] = lambda a=(hf, ' '.join(map(str, prompt)), tokens, '--ids', *options): ours.generate(*a)
        for who, program in theirs.items() if dtype else ():
            if who == 'llama.cpp' and model == 'gpt2' and not given.gpt2:
                continue
            folder = ours.place / f'{model}.gguf.{dtype}' if who == 'llama.cpp' else hf
            work[row, who] = lambda f=program.generate, a=(folder, prompt, tokens): f(*a)
    made = rounds(given.pairs, work)
    column = lambda row, who, i: [result[i] for result in made.get((row, who), [])]
    print_head('decode, tokens/s', 'dionode', '% of what memory gives', 'transformers', 'llama.cpp')
    for row in rows:
        print_row(row, cell(column(row, 'dionode', 1)), cell(column(row, 'dionode', 2)), cell(column(row, 'transformers', 1)),
                  cell(column(row, 'llama.cpp', 1)))
    for row in rows:
        if rows[row][2] == PROMPT:
            print_row(f'its prompt: {row}', cell(column(row, 'dionode', 0)), '', cell(column(row, 'transformers', 0)),
                      cell(column(row, 'llama.cpp', 0)))


def prefill(given, ours, _):
    """Pairs by turns are bench_generate's."""
    print_head('', 'tokens/s, or GB/s', 'share')
    for part in ('product', 'prefill'):
        title = ''
        for line in output_of(ours.bench / 'bench_generate', THREADS, part).splitlines()[1:]:
            found = re.match(r'  (.+?) {2,}(\d+) tokens/s +(?:([\d.]+) GB/s +)?(.*)', line)
            title = title if found else line
            if found:
                name, tokens, rate, share = found.groups()
                print_row(f'{name}{", " if title else ""}{title}', rate or tokens, share)


def text(given, ours, _):
    if not given.text:
        print('text: skipped without --text', file=sys.stderr)
        return
    some = pathlib.Path(given.text).read_bytes()[:8 << 20]
    file = ours.place / 'text'
    file.write_bytes(some)
    some = some.decode(errors='replace')
    blocks = [some[at:at + 65536] for at in range(0, len(some), 65536)]
    own = lambda path: float(re.search(r'([\d.]+) MB/s', output_of(ours.bench / 'bench_tokenize', path, file))[1])

    def timed(encode, some):
        begin = time.perf_counter()
        for block in some:
            encode(block)
        return sum(len(block.encode()) for block in some) / (time.perf_counter() - begin) / 1e6

    work = {}
    bytes_row, pieces_row = "byte-level BPE, GPT-2's vocabulary", 'SentencePiece BPE'
    for row, who, path, encoder in ((bytes_row, 'dionode', given.gpt2, None), (bytes_row, 'tokenizers', given.gpt2, tokenizers_of),
                                    (bytes_row, 'tiktoken', given.gpt2, tiktoken_of), (pieces_row, 'dionode', given.spm, None),
                                    (pieces_row, 'sentencepiece', given.spm, sentencepiece_of)):
        if not path:
            continue
        try:
            encode = encoder(path) if encoder else None
        except ImportError as missing:
            print(f'{who}: {missing}', file=sys.stderr)
            continue
        work[row, who] = (lambda p=path: own(p)) if not encoder else (lambda e=encode, n=len(blocks) if who == 'tiktoken' else 16:
                                                                      timed(e, blocks[:n]))
    made = rounds(given.pairs, work)
    others = ('tokenizers', 'tiktoken', 'sentencepiece')
    print_head('text, one thread, MB/s', 'dionode', *others)
    for row in dict.fromkeys(row for row, _ in work):
        print_row(row, *(cell(made.get((row, who), []), '{:.1f}') for who in ('dionode', *others)))


def tokenizers_of(path):
    os.environ['TOKENIZERS_PARALLELISM'], os.environ['RAYON_NUM_THREADS'] = 'false', '1'
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(path)
    return lambda block: tokenizer.encode(block, add_special_tokens=False).ids


def tiktoken_of(path):
    import tiktoken
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    codes = {own: byte for byte, own in bytes_to_unicode().items()}
    vocabulary = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))['model']['vocab']
    ranks = {bytes(codes[c] for c in token): id for token, id in vocabulary.items() if token != '<|endoftext|>'}
    encoding = tiktoken.Encoding('gpt2', pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda block: encoding.encode(block, disallowed_special=())


def sentencepiece_of(path):
    import sentencepiece
    return sentencepiece.SentencePieceProcessor(model_file=path).encode


def bytes_to_unicode():
    """GPT-2's printable stand-ins of the 256 bytes."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in own]
    return {**{byte: chr(byte) for byte in own}, **{byte: chr(256 + i) for i, byte in enumerate(rest)}}


def train(given, ours, _):
    """A step of 2 sequences of 1024, and without the optimizer's part of it: shares of the GEMM peak of the same run."""
    number = iter(range(1000))

    def shares(keys):
        name = f'step{next(number)}'
        steps = ours.train(name, {**keys, 'sequence_length': 1024, 'batch_size': 2, 'num_iterations': 1000, 'stop_after': 3,
                                  'scalar_opt': 'adamw', 'hash_every': 0})
        shutil.rmtree(ours.place / name)
        steps = [step for step in steps if step['step'] > 1]
        share = statistics.median(100 * step['peak_share'] for step in steps)
        passes = statistics.median(100 * step['peak_share'] * step['step_s'] / (step['step_s'] - step['optimizer_s']) for step in steps)
        return statistics.median(step['tokens_per_s'] for step in steps), share, passes

    models = {'gpt, 162 M parameters': PRESENT, 'gpt2, 124 M parameters': GPT2}
    made = rounds(given.train_pairs, {name: lambda k=keys: shares(k) for name, keys in models.items()})
    print_head('a training step', 'tokens/s', '% of GEMM peak', 'without the optimizer')
    for name, results in made.items():
        print_row(name, *(cell(column) for column in zip(*results)))
    present, gpt2 = made.values()
    print_row('gpt2 / gpt, by pairs', '', *(cell([b[i] / a[i] for a, b in zip(present, gpt2)], '{:.3f}') for i in (1, 2)))


PARTS = {'decode': decode, 'prefill': prefill, 'text': text, 'train': train}


def print_head(*cells):
    print_row(*cells)
    print('|---|' + '---:|' * (len(cells) - 1))


def print_row(*cells):
    print('| ' + ' | '.join(cells) + ' |', flush=True)


def main():
    arguments = Arguments(__doc__)
    arguments.add_argument('build', type=pathlib.Path, help='build folder')
    arguments.add_argument('run', type=pathlib.Path, help='checkpoint_dir of the quickstart')
    arguments.add_argument('--pairs', type=int, default=9, help='rounds of decode, prefill and text (9)')
    arguments.add_argument('--train-pairs', type=int, default=5, help='rounds of train (5)')
    arguments.add_argument('--only', default=','.join(PARTS), help='some of ' + ','.join(PARTS) + ' (all)')
    for name, what in {'--text': 'a file', '--gpt2': "GPT-2's tokenizer.json", '--spm': "one of SentencePiece, tokenizer.model"}.items():
        arguments.add_argument(name, metavar='FILE', help=what)
    given = arguments.parse_args()
    given.only = given.only.split(',')
    if not set(given.only) <= set(PARTS):
        arguments.error(f"argument --only: choose from {','.join(PARTS)}")
    theirs = {}
    for who, program in {'transformers': Transformers, 'llama.cpp': LlamaCpp}.items() if 'decode' in given.only else ():
        try:
            theirs[who] = program()
        except ImportError as missing:
            print(f'{who}: {missing}', file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix='dionode-bench-') as place:
        ours = Dionode(given.build, pathlib.Path(place))
        for part in given.only:
            PARTS[part](given, ours, theirs)
            print()


main()
