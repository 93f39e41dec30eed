"""Ids and decoded text against the libraries that define them: tokenizers, and where they are installed tiktoken and
sentencepiece. Vocabularies are trained here on the project's own pages; real ones are taken from a folder, if the
environment names one, whose files *.tiktoken, tokenizer.json and tokenizer.model are compared likewise.

    tokenizers.py PROGRAM-tokens PROGRAM-dionode ROOT        [DIONODE_VOCABULARIES=FOLDER]
"""
import base64
import glob
import importlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unicodedata

sys.path = [place for place in sys.path if pathlib.Path(place or '.').resolve() != pathlib.Path(__file__).resolve().parent]
SKIPPED = 77  # to meson: not a failure
TOKENS, DIONODE, ROOT = sys.argv[1:4]

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
O200K = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL = '<|endoftext|>'
# Number of ranks -> pattern, and a special token.
RANK_FILES = {50256: (GPT2, SPECIAL, 50256), 100256: (LLAMA3, SPECIAL, 100257), 128000: (LLAMA3, '<|begin_of_text|>', 128000),
              151643: (LLAMA3.replace('{1,3}', ''), SPECIAL, 151643)}

NASTY = ['', ' ', '   ', '\n', '\r\n\r\n', ' \n \n', 'x', ' x ', "I'm you'Re WE'LL 's '", '007 1234567 3.14 ٣٤ Ⅷ ½ ²',
         '\ttab \u00a0nbsp\u2003em\u3000wide', 'naïve nai\u0308ve \u1e9b\u0323 ﬁ', '你好，世界。こんにちは 안녕', '👨\u200d👩\u200d👧 🇩🇪 ❤\ufe0f',
         'مرحبا नमस्ते สวัสดี', f'{SPECIAL}a{SPECIAL}', '<|endoftext', '</s><s>', 'if(x){y++;}\n\n\t\t}//', 'http://a.b/c?d=%20',
         'z' * 2000, 'xy' * 500 + ' ' * 300 + '\n' * 50, 'İıſ K', '\ufeffx', '\x00\x01\x7f\x85\x1c\u2028\u2029\u180e',
         '\U0010ffff', '\u0301\u0301a', "ſ'ſ 'ſ", '▁▁ ▁a', '𐐀𐐨𝟘', '=== --- ——', 'a\u0378b', 'ÀÉ Ab aB']


def texts():
    pages = sorted(glob.glob(os.path.join(ROOT, 'docs', '*.md')) + glob.glob(os.path.join(ROOT, '*.md')))
    return [pathlib.Path(page).read_text(encoding='utf-8') for page in pages]


def ours(path, given):
    """[(ids, decoded)] by the program; of texts, or of bytes."""
    given = [text if isinstance(text, bytes) else text.encode() for text in given]
    stream = b''.join(struct.pack('<I', len(text)) + text for text in given)
    done = subprocess.run([TOKENS, path], input=stream, capture_output=True)
    if done.returncode:
        return done.stderr.decode()
    lines = [line.split('|') for line in done.stdout.decode().splitlines()]
    return [([int(word) for word in ids.split()], bytes.fromhex(decoded).decode()) for ids, decoded in lines]


# In NFC, without a space at the beginning, which some decoders drop, and others put there.
CUT = 'aé\u2003日本語 \U0001f468\u200d\U0001f469 \u0e2a\u0e27 \u1e9b\u0323\n\U00010348ß \u2028\ufffd.'.encode()


def wrong_cuts(name, path):
    """Number of places where a text that is cut there decodes, token by token, to something else than Python makes of its bytes."""
    cuts = [CUT[:n] for n in range(len(CUT) + 1)]
    got = [decoded for _, decoded in ours(path, cuts)]
    first = ' ' * got[1].startswith(' ')
    wanted = [(first if cut else '') + cut.decode(errors='replace') for cut in cuts]
    wrong = [n for n in range(len(cuts)) if got[n] != wanted[n]]
    for n in wrong[:3]:
        print(f'{name}: cut behind byte {n}: {got[n]!r}, should be {wanted[n]!r}')
    return len(wrong)


def compare(name, path, given, encode, decode):
    """Number of texts that differ."""
    got = ours(path, given)
    if isinstance(got, str):
        print(f'{name}: {got}')
        return 1
    wrong = wrong_cuts(name, path)
    for text, (ids, decoded) in zip(given, got):
        wanted = list(encode(text))
        if ids != wanted or decoded != decode(wanted):
            wrong += 1
            at = next((i for i, pair in enumerate(zip(ids, wanted)) if pair[0] != pair[1]), min(len(ids), len(wanted)))
            print(f'{name}: {text[:40]!r}: from token {at} of {len(wanted)} on {ids[at:at + 5]}, should be '
                  f'{wanted[at:at + 5]}; decoded {decoded[:40]!r}')
    print(f'{name}: {len(given)} texts, and one cut at {len(CUT)} places, {wrong} wrong')
    return wrong


def trained(tk, corpus, size=1200):
    """Name -> a tokenizer of each kind that people have, trained on the corpus."""
    pre, norm, dec = tk.pre_tokenizers, tk.normalizers, tk.decoders

    def make(model, normalizer, splits, decoder, **how):
        tokenizer = tk.Tokenizer(model)
        if normalizer:
            tokenizer.normalizer = normalizer
        if splits:
            tokenizer.pre_tokenizer = splits
        tokenizer.decoder = decoder
        special = how.pop('special', [SPECIAL])
        tokenizer.train_from_iterator(corpus, tk.trainers.BpeTrainer(vocab_size=size, special_tokens=special,
                                                                     show_progress=False, **how))
        return tokenizer

    def bytes_of(pattern=None, normalizer=None, extra=None, prefix=False, ignore_merges=False):
        steps = ([extra] if extra else []) + ([pre.Split(tk.Regex(pattern), 'isolated')] if pattern else [])
        level = pre.ByteLevel(add_prefix_space=prefix, use_regex=not pattern)
        return make(tk.models.BPE(ignore_merges=ignore_merges), normalizer, pre.Sequence(steps + [level]) if steps else level,
                    dec.ByteLevel(), initial_alphabet=pre.ByteLevel.alphabet())

    def characters(normalizer, splits, decoder):
        names = [f'<0x{byte:02X}>' for byte in range(256)]
        return make(tk.models.BPE(byte_fallback=True, fuse_unk=True, unk_token='<unk>'), normalizer, splits, decoder,
                    special=['<unk>', '<s>', '</s>'] + names)

    fallback = [dec.Replace('▁', ' '), dec.ByteFallback(), dec.Fuse()]
    return {
        'gpt2': bytes_of(),
        'with a prefix': bytes_of(prefix=True),
        'llama3': bytes_of(LLAMA3, ignore_merges=True),
        'qwen': bytes_of(LLAMA3.replace('{1,3}', ''), norm.NFC()),
        'o200k': bytes_of(O200K),
        'smollm': bytes_of(extra=pre.Digits(individual_digits=True)),
        'llama2': characters(norm.Sequence([norm.Prepend('▁'), norm.Replace(' ', '▁')]), None,
                             dec.Sequence(fallback + [dec.Strip(' ', 1, 0)])),
        'metaspace': characters(None, pre.Metaspace(prepend_scheme='first', split=True),
                                dec.Sequence(fallback + [dec.Strip(' ', 1, 0)])),
        'gemma': characters(norm.Replace(' ', '▁'), pre.Split(' ', 'merged_with_previous'), dec.Sequence(fallback)),
    }


def without_names(tokenizer):
    """As files of the hub have them: names of bytes are tokens of the vocabulary, not added ones."""
    root = json.loads(tokenizer.to_str())
    root['added_tokens'] = [entry for entry in root['added_tokens'] if not entry['content'].startswith('<0x')]
    return json.dumps(root)


def check_trained(tk, folder, given):
    wrong = 0
    for name, tokenizer in trained(tk, texts()).items():
        path = os.path.join(folder, 'tokenizer.json')
        text = without_names(tokenizer)
        pathlib.Path(path).write_text(text, encoding='utf-8')
        reference = tk.Tokenizer.from_str(text)
        wrong += compare(name, path, given, lambda text: reference.encode(text, add_special_tokens=False).ids,
                         lambda ids: reference.decode(ids, skip_special_tokens=False))
    return wrong


def check_trainer(tk, folder):
    """The merges of our trainer are those of theirs."""
    files = []
    for i, text in enumerate(texts()):
        files.append(os.path.join(folder, f'{i:02}.txt'))
        pathlib.Path(files[-1]).write_text(text, encoding='utf-8')
    path = os.path.join(folder, 'own.json')
    subprocess.run([DIONODE, 'tokenizer', 'train', *files, '--size', '1500', '-o', path], check=True, stdout=subprocess.DEVNULL)
    theirs = tk.Tokenizer(tk.models.BPE())
    theirs.pre_tokenizer = tk.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tk.decoders.ByteLevel()
    theirs.train_from_iterator(texts(), tk.trainers.BpeTrainer(vocab_size=1500, special_tokens=[SPECIAL], show_progress=False,
                                                               initial_alphabet=tk.pre_tokenizers.ByteLevel.alphabet()))
    own, reference = (json.loads(text)['model'] for text in (pathlib.Path(path).read_text(), theirs.to_str()))
    pairs = [[tuple(merge) for merge in model['merges']] for model in (own, reference)]
    same = pairs[0] == pairs[1] and own['vocab'] == reference['vocab']
    at = next((i for i, pair in enumerate(zip(*pairs)) if pair[0] != pair[1]), None)
    print(f'trainer: {len(pairs[0])} and {len(pairs[1])} merges, the first that differs: {at}')
    return 0 if same else 1


def check_real(tk, folder, given):
    wrong = 0
    for path in sorted(glob.glob(os.path.join(folder, '**', 'tokenizer.json'), recursive=True)):
        reference = tk.Tokenizer.from_file(path)
        wrong += compare(path, path, given, lambda text: reference.encode(text, add_special_tokens=False).ids,
                         lambda ids: reference.decode(ids, skip_special_tokens=False))
    for path in sorted(glob.glob(os.path.join(folder, '**', '*.tiktoken'), recursive=True)):
        tiktoken = importlib.import_module('tiktoken')
        ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in open(path, 'rb') if line.strip()}
        if len(ranks) not in RANK_FILES:
            print(f'{path}: {len(ranks)} ranks: a vocabulary that is not known')
            continue
        pattern, special, id = RANK_FILES[len(ranks)]
        composed = len(ranks) == 151643
        encoding = tiktoken.Encoding('x', pat_str=pattern, mergeable_ranks=ranks, special_tokens={special: id})
        wrong += compare(path, path, given, lambda text: encoding.encode(
            unicodedata.normalize('NFC', text) if composed else text, allowed_special='all'), encoding.decode)
    for path in sorted(glob.glob(os.path.join(folder, '**', 'tokenizer.model'), recursive=True)):
        sentencepiece = importlib.import_module('sentencepiece')
        reference = sentencepiece.SentencePieceProcessor(model_file=path)
        wrong += compare(path, path, given, reference.encode, reference.decode)
    return wrong


def main():
    try:
        tk = importlib.import_module('tokenizers')
    except ImportError:
        print('skipped: tokenizers is not installed for this Python')
        return SKIPPED
    for part in ('models', 'pre_tokenizers', 'normalizers', 'decoders', 'trainers'):
        importlib.import_module('tokenizers.' + part)
    given = NASTY + texts()[:4]
    with tempfile.TemporaryDirectory(prefix='dionode-test-') as folder:
        wrong = check_trained(tk, folder, given) + check_trainer(tk, folder)
    real = os.environ.get('DIONODE_VOCABULARIES')
    if real:
        wrong += check_real(tk, real, given)
    return 1 if wrong else 0


sys.exit(main())
