"""GGUF files against programs that read them: small random models of every family, made without any download.

    gguf_files.py PROGRAM-dionode PROGRAM-tokens ROOT      skipped without torch, transformers and gguf

Each model of hf_folders.py goes through a run (init_from, learning rate 0) and an export. Of what comes out
  - tensors have the names and numbers that gguf's own table and transformers' weights say (rows of q and k of llama in turns);
  - transformers' loader gives the same logits, where it knows the architecture and reads all of it;
  - llama.cpp (the package xllamacpp, where it is installed) gives the same probabilities.
Tokenizers of each kind give the same ids there as here.
"""
import glob
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path = [place for place in sys.path if pathlib.Path(place or '.').resolve() != HERE]  # there tokenizers.py is another
SKIPPED = 77  # to meson: not a failure
try:
    import gguf
    import numpy
    import tokenizers
    import torch
    import transformers
except ImportError as missing:
    print(f'skipped: {missing}')
    sys.exit(SKIPPED)
sys.path.append(str(HERE))
import hf_folders  # noqa: E402
try:
    import xllamacpp
except ImportError:
    xllamacpp = None
DIONODE, TOKENS, ROOT = sys.argv[1:4]

REFUSED = {'qwen2_window': 'attention_window', 'mistral_window': 'attention_window', 'neox_sequential': 'activation'}
# What transformers' loader has no key for: frequencies that are scaled, biases, the size of a head of qwen3; gpt_neox and gemma.
NOT_LOADED = {'llama3_gqa', 'llama_linear', 'llama_biased', 'qwen3', 'neox', 'gemma'}


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def must(done):
    if done.returncode:
        sys.exit(f'{" ".join(done.args)}\n{done.stderr}')


def train(place, name, *model):
    """A run of one step in which nothing moves."""
    with open(place / 'text', 'wb') as file:
        file.write(bytes(i * i % 200 for i in range(4000)))
    (place / 'empty.yaml').write_text('optimizer: adamw\n')
    must(run(DIONODE, 'train', place / 'empty.yaml', 'lr=0', 'sequence_length=32', 'val_tokens=0', f'train_files={place / "text"}',
             'num_iterations=1', 'batch_size=1', 'device_batch_size=1', f'checkpoint_dir={place / name}', *model))


def export(place, name, to, *options):
    """The folder of an export; or what refused it."""
    done = run(DIONODE, 'export', place / name, '-o', place / to, '--format', 'gguf', *options)
    return done.stderr if done.returncode else place / to


def in_turns(weight, heads):
    """Rows of the two halves of each head, one of each after the other."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1)
    return halves.transpose(1, 2).reshape(weight.shape)


def expected(folder, architecture):
    """{name: tensor} by gguf's table of names of an architecture, from what transformers loads of a folder."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    kind = config.model_type
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    table = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    found = {}
    for name, weight in model.state_dict().items():
        if name == 'lm_head.weight' and config.tie_word_embeddings or 'rotary' in name:
            continue
        there = table.get_name('embed_out.weight' if kind == 'gpt_neox' and name == 'lm_head.weight' else name,
                               try_suffixes=('.weight', '.bias'))
        if kind == 'gpt2' and any(part in name for part in ('c_attn.w', 'c_proj.w', 'c_fc.w')):
            weight = weight.T
        if kind == 'gpt_neox' and 'query_key_value' in name:  # head by head
            heads = config.num_attention_heads
            weight = weight.reshape(heads, 3, config.hidden_size // heads, -1).transpose(0, 1).reshape(weight.shape)
        if kind in ('llama', 'mistral') and ('q_proj' in name or 'k_proj' in name):
            weight = in_turns(weight, config.num_attention_heads if 'q_proj' in name else config.num_key_value_heads)
        if kind == 'gemma' and 'norm' in name:
            weight = weight + 1
        found[there] = weight.contiguous()
    scaling = getattr(config, 'rope_parameters', None) or {}
    if scaling.get('rope_type') == 'llama3':
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
        width = config.head_dim
        plain = scaling['rope_theta'] ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        found['rope_freqs.weight'] = (plain / ROPE_INIT_FUNCTIONS['llama3'](config)[0].double()).float()
    return found


def check_tensors(case, folder, back, dtype):
    reader = gguf.GGUFReader(back / 'model.gguf')
    want = expected(folder, bytes(reader.fields['general.architecture'].parts[-1]).decode())
    got = {tensor.name: tensor for tensor in reader.tensors}
    if want.keys() != got.keys():
        print(f'{case}: only expected {want.keys() - got.keys()}, only there {got.keys() - want.keys()}')
        return 1
    wrong = 0
    for name, weight in want.items():
        kind = 'F32' if weight.dim() == 1 else {'float32': 'F32', 'float16': 'F16', 'bfloat16': 'BF16'}[dtype]
        values = torch.from_numpy(gguf.quants.dequantize(got[name].data, got[name].tensor_type).copy())
        worst = (values.reshape(weight.shape) - weight).abs().max().item() if values.numel() == weight.numel() else math.inf
        bound = 1e-6 * weight.abs().max().item() if name == 'rope_freqs.weight' else 0  # theirs are made in float
        if got[name].tensor_type.name != kind or list(got[name].shape[::-1]) != list(weight.shape) or worst > bound:
            print(f'{case}: {name} is {got[name].tensor_type.name} {got[name].shape}, off by {worst}')
            wrong += 1
    return wrong


def check_transformers(case, folder, back):
    inputs = torch.tensor([[i * 7 % 200 for i in range(37)]])
    logits = []
    positions = {'n_positions': 64} if case == 'gpt2' else {}  # of gpt2 it knows 1024 alone
    for where, more in ((folder, {}), (back, {'gguf_file': 'model.gguf', **positions})):
        model = transformers.AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, attn_implementation='eager', **more)
        with torch.no_grad():
            logits.append(model(input_ids=inputs).logits)
    worst = ((logits[0] - logits[1]).abs().max() / logits[0].abs().max()).item()
    print(f'{case}: logits of transformers differ by {worst:.1e}')
    return worst > 5e-6  # the same weights and angles, in float


def serve(back):
    params = xllamacpp.CommonParams()
    params.model.path = str(back / 'model.gguf')
    params.n_ctx, params.warmup, params.n_parallel, params.cpuparams.n_threads = 256, False, 1, 1
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    return xllamacpp.Server(params)


def check_llama_cpp(case, folder, back):
    inputs = [i * 7 % 200 for i in range(37)]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager')
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([inputs])).logits[0]
    server, worst = serve(back), 0
    for n in (1, 5, 37):
        want = torch.log_softmax(logits[n - 1].double(), -1)
        for seed in range(20):  # a token without text has no numbers
            said = server.handle_completions({'prompt': inputs[:n], 'n_predict': 1, 'n_probs': len(want), 'seed': seed,
                                              'temperature': 1.0, 'cache_prompt': False})
            numbers = said['choices'][0].get('logprobs')
            if numbers:
                break
        got = {entry['id']: entry['logprob'] for entry in numbers['content'][0]['top_logprobs']}
        worst = max(worst, max(abs(want[i].item() - got.get(i, math.inf)) for i in range(len(want))))
    # Float rounding, a few times 1e-6 of logarithms down to -15; but its GELU is a table of numbers of 16 bits.
    print(f'{case}: logarithms of probabilities of llama.cpp differ by {worst:.1e}')
    return not worst < (1e-2 if model.config.model_type in ('gpt2', 'gpt_neox', 'gemma') else 5e-5)


def models(place):
    failed = 0
    for case, (kind, keys, dtype) in hf_folders.CASES.items():
        hf_folders.write_model(str(place / case), (kind, keys, dtype))
        train(place, case + '.run', f'init_from={place / case}')
        back = export(place, case + '.run', case + '.gguf', '--dtype', dtype)
        if case in REFUSED:
            fine = isinstance(back, str) and REFUSED[case] in back
            print(f'{case}: refused' if fine else f'{case}: {back}, and should be refused by {REFUSED[case]}')
            failed += not fine
            continue
        if isinstance(back, str):
            print(f'{case}: {back}')
            failed += 1
            continue
        failed += check_tensors(case, place / case, back, dtype)
        if case not in NOT_LOADED:
            failed += check_transformers(case, place / case, back)
        if xllamacpp:
            failed += check_llama_cpp(case, place / case, export(place, case + '.run', case + '.float32'))
    return failed


# ---- tokenizers ----

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
TEXTS = ['x', ' x ', "I'm you'Re WE'LL 's '", '007 1234567 3.14', 'the cat sat\n\n on   the mat.\t', 'naïve 你好，世界 🇩🇪', 'if(x){y++;}\n\n\t\t}//',
         '<|endoftext|>a<|endoftext|>', 'a  b   c', 'http://a.b/c?d=%20', '▁a ▁▁']


def byte_level(split, *normalizers, **model):
    pre = tokenizers.pre_tokenizers
    made = tokenizers.Tokenizer(tokenizers.models.BPE(**model))
    if normalizers:
        made.normalizer = normalizers[0]
    made.pre_tokenizer = split
    made.decoder = tokenizers.decoders.ByteLevel()
    pages = sorted(glob.glob(os.path.join(ROOT, 'docs', '*.md')))
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=500, special_tokens=['<|endoftext|>'], show_progress=False,
                                             initial_alphabet=pre.ByteLevel.alphabet())
    made.train(pages, trainer)
    made.add_tokens([tokenizers.AddedToken('  ', special=False)])
    return made


def isolated(pattern):
    pre = tokenizers.pre_tokenizers
    return pre.Sequence([pre.Split(tokenizers.Regex(pattern), 'isolated'), pre.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentencepiece_model(folder):
    import sentencepiece
    pages = sorted(glob.glob(os.path.join(ROOT, 'docs', '*.md')))
    sentencepiece.SentencePieceTrainer.train(input=','.join(pages), model_prefix=str(folder / 'tokenizer'), vocab_size=800,
                                             model_type='bpe', byte_fallback=True, normalization_rule_name='identity',
                                             remove_extra_whitespaces=False, minloglevel=2, character_coverage=0.99)


def folders_of_tokenizers(place):
    pre = tokenizers.pre_tokenizers
    kinds = {'gpt-2': lambda: byte_level(pre.ByteLevel(add_prefix_space=False)),
             'llama-bpe': lambda: byte_level(isolated(LLAMA3), ignore_merges=True),
             'qwen2': lambda: byte_level(isolated(LLAMA3.replace('{1,3}', '')), tokenizers.normalizers.NFC()),
             'smollm': lambda: byte_level(pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]))}
    for kind, make in kinds.items():
        folder = place / kind
        folder.mkdir()
        make().save(str(folder / 'tokenizer.json'))
        yield kind, folder
    folder = place / 'sentencepiece'
    folder.mkdir()
    try:
        sentencepiece_model(folder)
    except ImportError:
        print('sentencepiece: not installed')
        return
    os.remove(folder / 'tokenizer.vocab')
    yield 'sentencepiece', folder
    as_json = place / 'sentencepiece-json'
    as_json.mkdir()
    as_tokenizers(folder / 'tokenizer.model').save(str(as_json / 'tokenizer.json'))
    yield 'sentencepiece-json', as_json


def as_tokenizers(path):
    """The same vocabulary as tokenizers has it: whatever two pieces are a piece merges, in the order of its score."""
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(str(path))
    pieces = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    scores = {piece: model.get_score(i) for piece, i in pieces.items() if not model.is_byte(i) and not model.is_control(i)}
    merges = [(piece[:n], piece[n:]) for piece in sorted(scores, key=scores.get, reverse=True) for n in range(1, len(piece))
              if piece[:n] in scores and piece[n:] in scores]
    made = tokenizers.Tokenizer(tokenizers.models.BPE(pieces, merges, byte_fallback=True, fuse_unk=True, unk_token='<unk>'))
    made.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.Prepend('▁'), tokenizers.normalizers.Replace(' ', '▁')])
    made.add_special_tokens(['<unk>', '<s>', '</s>'])
    made.decoder = tokenizers.decoders.Sequence([tokenizers.decoders.Replace('▁', ' '), tokenizers.decoders.ByteFallback(),
                                                 tokenizers.decoders.Fuse(), tokenizers.decoders.Strip(' ', 1, 0)])
    made.post_processor = tokenizers.processors.TemplateProcessing(single='<s> $A', special_tokens=[('<s>', 1)])
    return made


def ours(path):
    stream = b''.join(struct.pack('<I', len(text.encode())) + text.encode() for text in TEXTS)
    done = subprocess.run([TOKENS, str(path)], input=stream, capture_output=True, check=True)
    return [[int(word) for word in line.split('|')[0].split()] for line in done.stdout.decode().splitlines()]


def is_beyond_it(kind, text):
    """transformers makes no tokens of users, and gives texts that begin with a space no other."""
    return '  ' in text or kind.startswith('sentencepiece') and text[0] in ' ▁'


def post(server, what, body):
    request = urllib.request.Request(f'{server.listening_address}/{what}', json.dumps(body).encode(), {'Content-Type': 'application/json'})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def check_tokenizers(within):
    failed = 0
    within.mkdir()
    (within / 'config.json').write_text(json.dumps({
        'model_type': 'llama', 'vocab_size': 1000, 'hidden_size': 32, 'num_hidden_layers': 1, 'num_attention_heads': 2,
        'intermediate_size': 48, 'max_position_embeddings': 64}))
    for kind, folder in folders_of_tokenizers(within):
        want = ours(folder)
        train(within, kind + '.run', f'model={within / "config.json"}')
        back = export(within, kind + '.run', kind + '.gguf', '--tokenizer', folder)
        if isinstance(back, str):
            print(f'{kind}: {back}')
            failed += 1
            continue
        theirs = {}
        loaded = transformers.AutoTokenizer.from_pretrained(back, gguf_file='model.gguf')
        theirs['transformers'] = [loaded(text, add_special_tokens=False)['input_ids'] for text in TEXTS]
        if xllamacpp:
            server = serve(back)
            theirs['llama.cpp'] = [post(server, 'tokenize', {'content': text, 'add_special': False, 'parse_special': True})['tokens']
                                   for text in TEXTS]
        for reader, got in theirs.items():
            wrong = [(text, a, b) for text, a, b in zip(TEXTS, want, got)
                     if list(b) != a and not (reader == 'transformers' and is_beyond_it(kind, text))]
            print(f'{kind}: {len(TEXTS)} texts, {len(wrong)} wrong by {reader}')
            for text, a, b in wrong:
                print(f'    {text!r}: {b[:12]}, here {a[:12]}')
            failed += len(wrong)
    return failed


def main():
    if not xllamacpp:
        print('llama.cpp: skipped, as xllamacpp is not installed')
    with tempfile.TemporaryDirectory() as place:
        failed = models(pathlib.Path(place))
        failed += check_tokenizers(pathlib.Path(place) / 'tokenizers')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
