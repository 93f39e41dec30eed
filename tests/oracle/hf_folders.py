"""Hugging Face folders against transformers: small random models of every family, made without any download.

    hf_folders.py PROGRAM-oracle PROGRAM-dionode [FIRST N]   skipped without torch, transformers and safetensors
    hf_folders.py --write FOLDER NAME...                     writes the folders that hf.c reads, as those in hf/

The models are those of CASES, or N drawn ones, of sizes and keys that follow from their numbers, FIRST and on. A folder holds
what transformers saves, and, computed in double from the weights as stored:

    reference/, gradients/   input_ids, labels (already shifted, -1 where nothing is counted), logits, loss; of the mean loss, named
                             and laid out as the weights
    greedy.txt               a line for each row of input_ids: the tokens that follow on its first half
    training.txt             runs of AdamW, as PyTorch has it: settings as keys of ours, mean losses of 20 steps. Step s reads
                             the rows above with 7 (s mod 3) added to each token, modulo the vocabulary

hf.c compares ours with them. Then each model goes through a run (init_from, learning rate 0) and an export, and transformers must
say the same of what comes back; and through a run that trains, on a mesh, as PyTorch does beside it.
"""
import contextlib
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

# tokenizers.py of this folder is not the package that transformers imports.
sys.path = [place for place in sys.path if pathlib.Path(place or '.').resolve() != pathlib.Path(__file__).resolve().parent]
os.environ.setdefault('HF_HUB_OFFLINE', '1')
SKIPPED = 77  # to meson: not a failure
try:
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f'skipped: {missing}')
    sys.exit(SKIPPED)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

B, T, V = 2, 37, 211  # no multiple of 8
LLAMA3 = {'rope_type': 'llama3', 'rope_theta': 5e5, 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
          'original_max_position_embeddings': 32}
PLAIN = {'rope_type': 'default', 'rope_theta': 1e6}
SIZES = {'vocab_size': V, 'hidden_size': 48, 'num_hidden_layers': 3, 'max_position_embeddings': 64, 'intermediate_size': 136,
         'num_attention_heads': 6, 'num_key_value_heads': 2, 'bos_token_id': 1, 'eos_token_id': 2}
GPT2 = {'vocab_size': V, 'n_positions': 64, 'n_embd': 48, 'n_layer': 3, 'n_head': 4, 'resid_pdrop': 0, 'embd_pdrop': 0,
        'attn_pdrop': 0, 'bos_token_id': 1, 'eos_token_id': 2}
NEOX = {**{key: SIZES[key] for key in SIZES if key != 'num_key_value_heads'}, 'num_attention_heads': 4, 'intermediate_size': 192,
        'attention_dropout': 0, 'hidden_dropout': 0}
CASES = {  # name: (class of the configuration, its keys, dtype of its weights)
    'gpt2': ('GPT2Config', GPT2, 'float32'),
    'llama2': ('LlamaConfig', {**SIZES, 'num_key_value_heads': 6}, 'float32'),
    'llama3_gqa': ('LlamaConfig', {**SIZES, 'rope_parameters': LLAMA3}, 'bfloat16'),
    'llama_tied': ('LlamaConfig', {**SIZES, 'tie_word_embeddings': True, 'num_key_value_heads': 1, 'head_dim': 20}, 'float32'),
    'llama_biased': ('LlamaConfig', {**SIZES, 'attention_bias': True, 'mlp_bias': True}, 'float32'),
    'llama_linear': ('LlamaConfig', {**SIZES, 'rope_parameters': {'rope_type': 'linear', 'rope_theta': 1e4, 'factor': 3.0}}, 'float32'),
    'qwen2': ('Qwen2Config', {**SIZES, 'rope_parameters': PLAIN, 'tie_word_embeddings': True}, 'bfloat16'),
    'qwen2_window': ('Qwen2Config', {**SIZES, 'use_sliding_window': True, 'sliding_window': 5, 'max_window_layers': 0}, 'float32'),
    'qwen3': ('Qwen3Config', {**SIZES, 'head_dim': 20, 'rope_parameters': PLAIN, 'tie_word_embeddings': True}, 'float16'),
    'mistral_window': ('MistralConfig', {**SIZES, 'head_dim': 8, 'sliding_window': 7}, 'float32'),
    'neox': ('GPTNeoXConfig', {**NEOX, 'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e4, 'partial_rotary_factor': 0.5}},
             'float32'),
    'neox_sequential': ('GPTNeoXConfig', {**NEOX, 'use_parallel_residual': False, 'hidden_act': 'gelu_new', 'num_attention_heads': 6},
                        'float32'),
    'gemma': ('GemmaConfig', {**SIZES, 'head_dim': 20, 'pad_token_id': None}, 'float32'),  # 0 has no gradient in PyTorch, else
}


KINDS = sorted({kind for kind, _, _ in CASES.values()})


def drawn(number):
    """A case of any sizes, each family in its turn: its name, and (kind, keys, dtype, B, T)."""
    draw = random.Random(number)
    kind = KINDS[number % len(KINDS)]
    yes = lambda: draw.random() < 0.5
    T, kv, head = draw.randint(6, 37), draw.randint(1, 4), 2 * draw.randint(1, 12)
    heads, window = kv * draw.choice([1, 1, 2, 3, 5]), draw.randint(1, T + 3)
    keys = {'vocab_size': draw.randint(5, 256), 'bos_token_id': 1, 'eos_token_id': 2, 'tie_word_embeddings': yes()}
    hidden, layers, positions = draw.randint(1, 150), draw.randint(1, 3), T + draw.randint(0, 30)
    eps, gelu = 10 ** draw.uniform(-8, -3), draw.choice(['gelu', 'gelu_new', 'gelu_pytorch_tanh'])
    if kind == 'GPT2Config':
        keys |= {'n_positions': positions, 'n_embd': heads * head, 'n_layer': layers, 'n_head': heads, 'layer_norm_epsilon': eps,
                 'n_inner': None if yes() else hidden, 'resid_pdrop': 0, 'embd_pdrop': 0, 'attn_pdrop': 0,
                 'activation_function': gelu}
        return f'{number}_{kind}', (kind, keys, draw.choice(['float32', 'bfloat16', 'float16']), draw.randint(1, 4), T)
    rope = draw.choice([{'rope_type': 'default'}, {'rope_type': 'linear', 'factor': draw.uniform(1, 9)},
                        {'rope_type': 'llama3', 'factor': draw.uniform(1, 20), 'low_freq_factor': draw.uniform(0.5, 2),
                         'high_freq_factor': draw.uniform(2.5, 8), 'original_max_position_embeddings': draw.randint(4, 60)}])
    rope['rope_theta'] = 10 ** draw.uniform(2, 6)
    keys |= {'hidden_size': heads * draw.randint(1, 12), 'num_hidden_layers': layers, 'max_position_embeddings': positions,
             'intermediate_size': hidden, 'num_attention_heads': heads, 'rope_parameters': rope}
    if kind == 'GPTNeoXConfig':
        turned = [2 * i for i in range(1, head // 2 + 1) if int(head * (2 * i / head)) == 2 * i]
        rope['partial_rotary_factor'] = draw.choice(turned) / head
        keys |= {'hidden_size': heads * head, 'layer_norm_eps': eps, 'use_parallel_residual': yes(), 'attention_dropout': 0,
                 'hidden_dropout': 0, 'hidden_act': gelu}
    else:
        keys |= {'num_key_value_heads': kv, 'head_dim': head, 'rms_norm_eps': eps}
        if kind == 'GemmaConfig':
            keys |= {'attention_bias': yes(), 'hidden_act': 'gelu_pytorch_tanh', 'pad_token_id': None}
        elif kind == 'LlamaConfig':
            keys |= {'attention_bias': yes(), 'mlp_bias': yes(), 'hidden_act': draw.choice(['silu', gelu])}
        elif kind == 'MistralConfig':
            keys |= {'sliding_window': draw.choice([None, window])}
        else:
            keys |= {'use_sliding_window': yes(), 'sliding_window': window, 'max_window_layers': draw.choice([0, 0, layers])}
            keys |= {'attention_bias': yes()} if kind == 'Qwen3Config' else {}
    return f'{number}_{kind}', (kind, keys, draw.choice(['float32', 'bfloat16', 'float16']), draw.randint(1, 4), T)


def draw_weights(model):
    """Gains and biases away from 1 and 0, or a reader that drops them passes."""
    draws = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        x = torch.randn(weight.shape, generator=draws)
        if weight.dim() > 1:
            weight.data = x * (0.3 if 'emb' in name or 'wte' in name or 'wpe' in name else 1.5 / weight.shape[-1] ** 0.5)
        else:
            weight.data = 0.1 * x if name.endswith('bias') else weight.data + 0.2 * x


@contextlib.contextmanager
def in_double():
    """transformers computes norms, angles and softmax in float32, whatever the model's type: not in here."""
    kept = torch.float32, torch.float, torch.Tensor.float
    torch.float32, torch.float, torch.Tensor.float = torch.float64, torch.float64, torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = kept


def model_of(folder):
    """In double. Frequencies are buffers in float32: they are made again."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation='eager').train()
    for module in model.modules():
        if hasattr(module, 'inv_freq'):
            plain = module.rope_type == 'default'
            frequencies = module.compute_default_rope_parameters if plain else ROPE_INIT_FUNCTIONS[module.rope_type]
            with in_double():
                module.inv_freq = frequencies(model.config)[0].double()
    return model


def mean_loss(model, inputs, labels):
    with in_double():
        logits = model(input_ids=inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=-1)
    return logits, loss


# ---- training ----

STEPS = 20
ADAMW = {'optimizer': 'adamw', 'scalar_opt': 'adamw', 'num_iterations': STEPS, 'warmup_ratio': 0.2}
RUNS = [  # decay of all matrices, as usual; and of hidden ones alone, our default
    {**ADAMW, 'lr': 0.003, 'beta1': 0.9, 'beta2': 0.999, 'epsilon': 1e-8, 'clip_grad_norm': 0, 'schedule': 'linear',
     'weight_decay': 0.1, 'groups': "[{match: '*norm*', weight_decay: 0}, {match: '*.weight', weight_decay: 0.1}]"},
    {**ADAMW, 'lr': 0.001, 'beta1': 0.8, 'beta2': 0.95, 'epsilon': 1e-3, 'clip_grad_norm': 1, 'schedule': 'constant', 'weight_decay': 1},
]


def is_decayed(name, weight, keys):
    outside = any(part in name for part in ('embed', 'wte', 'wpe', 'lm_head'))
    return weight.dim() > 1 and ('groups' in keys or not outside)


def scheduled(keys, step):
    n, n_warmup = STEPS, round(keys['warmup_ratio'] * STEPS)
    if keys['schedule'] == 'constant':
        return 1
    return (step + 1) / n_warmup if step + 1 < n_warmup else min(1, (n - step) / (n - n_warmup))


def trained(folder, keys, batch):
    """Mean losses of 20 steps; batch(step) gives inputs and labels."""
    model = model_of(folder)
    groups = [{'params': [w for name, w in model.named_parameters() if is_decayed(name, w, keys) == decayed],
               'weight_decay': keys['weight_decay'] if decayed else 0.0} for decayed in (True, False)]
    adamw = torch.optim.AdamW(groups, lr=keys['lr'], betas=(keys['beta1'], keys['beta2']), eps=keys['epsilon'])
    schedule = torch.optim.lr_scheduler.LambdaLR(adamw, lambda step: scheduled(keys, step))
    losses = []
    for step in range(STEPS):
        adamw.zero_grad()
        _, loss = mean_loss(model, *batch(step))
        loss.backward()
        if keys['clip_grad_norm']:
            torch.nn.utils.clip_grad_norm_(model.parameters(), keys['clip_grad_norm'])
        adamw.step()
        schedule.step()
        losses.append(loss.item())
    return losses


# ---- folders ----

def save(folder, tensors):
    os.makedirs(folder)
    save_file(tensors, os.path.join(folder, 'model.safetensors'))


def stored_names(folder):
    files = [name for name in os.listdir(folder) if name.endswith('.safetensors')]
    return [name for file in sorted(files) for name in load_file(os.path.join(folder, file))]


def write_reference(folder, inputs, labels):
    model = model_of(folder)
    logits, loss = mean_loss(model, inputs, labels)
    loss.backward()
    gradients = {name: weight.grad.to(torch.float32).contiguous() for name, weight in model.named_parameters()}
    if 'embed_out.weight' in stored_names(folder) and 'lm_head.weight' in gradients:
        gradients['embed_out.weight'] = gradients['lm_head.weight']
    save(os.path.join(folder, 'gradients'), {name: gradients[name].clone() for name in stored_names(folder)})
    save(os.path.join(folder, 'reference'), {'input_ids': inputs.to(torch.float32), 'labels': labels.to(torch.float32),
                                             'logits': logits.detach().to(torch.float32).contiguous(), 'loss': loss.detach()[None]})


def write_greedy(folder, inputs):
    """Without a cache, which is what a cache must equal; transformers' own does not where the window is one position."""
    model, prompt, T = model_of(folder).eval(), (inputs.shape[1] + 1) // 2, inputs.shape[1]
    with in_double(), torch.no_grad():
        made = model.generate(inputs[:, :prompt], attention_mask=torch.ones(len(inputs), prompt), max_new_tokens=min(16, T - prompt),
                              do_sample=False, eos_token_id=None, pad_token_id=0, use_cache=False)
    with open(os.path.join(folder, 'greedy.txt'), 'w', encoding='utf-8') as file:
        for row in made[:, prompt:].tolist():
            print(*row, file=file)


def write_training(folder, inputs, labels, runs):
    V = model_of(folder).config.vocab_size
    moved = lambda step: ((inputs + 7 * (step % 3)) % V, torch.where(labels < 0, labels, (labels + 7 * (step % 3)) % V))
    with open(os.path.join(folder, 'training.txt'), 'w', encoding='utf-8') as file:
        for keys in runs:
            print('run', *(f'{key}={value}' for key, value in keys.items()), sep='\n', file=file)
            print('losses', *(loss.hex() for loss in trained(folder, keys, moved)), file=file)


def write_model(folder, case):
    """Its configuration: what transformers saves, of random weights."""
    kind, keys, dtype = case
    config = getattr(transformers, kind)(**keys)
    config._attn_implementation = 'eager'
    model = transformers.AutoModelForCausalLM.from_config(config)
    draw_weights(model)
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size='40KB' if dtype == 'bfloat16' else '5GB')
    return config


def write(folder, case):
    """A model, and what PyTorch makes of it: logits, loss, gradients, greedy tokens, losses of training."""
    *model, B, T = case
    config = write_model(folder, model)
    ids = torch.randint(0, config.vocab_size, (B, T + 1), generator=torch.Generator().manual_seed(2))
    inputs, labels = ids[:, :-1].contiguous(), ids[:, 1:].clone()
    labels[-1, :5] = -1
    write_reference(folder, inputs, labels)
    write_greedy(folder, inputs)
    write_training(folder, inputs, labels, RUNS)


# ---- through the program ----

MESHES = [{'fs_size': 2}, {'tp_size': 2}, {'dp_size': 2, 'tp_size': 2}, {'fs_size': 3}, {'tp_size': 3}, {'dp_size': 2, 'fs_size': 2}]
ROWS = 8  # of the data; two a step


def logits_of(folder, inputs):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager')
    with torch.no_grad():
        return model(input_ids=inputs).logits


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f'{" ".join(command)}\n{done.stderr}')
    return done.stdout


def train(place, dionode, name, run, mesh, keys):
    empty = os.path.join(place, 'empty.yaml')
    with open(empty, 'w', encoding='utf-8') as file:
        file.write('optimizer: adamw\n')
    keys = {'val_tokens': 0, 'batch_size': 2, 'device_batch_size': 1, 'shuffle': 'false', **mesh, **keys,
            'init_from': os.path.join(place, name), 'train_files': os.path.join(place, name + '.data'), 'checkpoint_dir': run}
    output_of(dionode, 'train', '--np', str(math.prod(mesh.values())), empty, *(f'{key}={value}' for key, value in keys.items()))


def through_the_program(place, dionode, name, case, number):
    """What differs: after a run and an export, transformers' logits, as a share of the largest; the losses of runs on a mesh from
    PyTorch's, as a share of the first (a model that knows its rows by heart makes more of its weights' rounding); and whether the
    tokens that `generate` finds are others."""
    kind, keys, dtype, B, T = case
    folder, run, back = (os.path.join(place, name + end) for end in ('', '.run', '.back'))
    mesh, data = MESHES[number % len(MESHES)], random.Random(number).choices(range(keys['vocab_size']), k=ROWS * T + 1)
    with open(folder + '.data', 'wb') as file:
        file.write(bytes(data))
    train(place, dionode, name, run, mesh, {'lr': 0, 'sequence_length': T, 'num_iterations': 1})
    output_of(dionode, 'export', run, '-o', back, '--dtype', dtype)
    inputs = load_file(os.path.join(folder, 'reference', 'model.safetensors'))['input_ids'].long()
    before, after = logits_of(folder, inputs), logits_of(back, inputs)
    moved = ((after - before).abs().max() / before.abs().max()).item()
    losses = 0
    for i, settings in enumerate(RUNS):
        rows = lambda step: torch.tensor([data[r % ROWS * T:r % ROWS * T + T + 1] for r in (2 * step, 2 * step + 1)])
        wanted = trained(folder, settings, lambda step: (rows(step)[:, :-1], rows(step)[:, 1:]))
        train(place, dionode, name, f'{run}{i}', mesh, {**settings, 'sequence_length': T})
        with open(f'{run}{i}/metrics.jsonl', encoding='utf-8') as file:
            got = [line['loss'] for line in map(json.loads, file) if line['step'] > 0]
        losses = max([losses] + [abs(a - b) / wanted[0] for a, b in zip(got, wanted, strict=True)])
    with open(os.path.join(folder, 'greedy.txt'), encoding='utf-8') as file:
        greedy = file.readline().split()
    prompt = ' '.join(str(token) for token in inputs[0, :(T + 1) // 2].tolist())
    made = output_of(dionode, 'generate', run, prompt, '--ids', '--temperature', '0', '--tokens', str(len(greedy))).split()
    return moved, losses, made != greedy


def main():
    oracle, dionode, first, n = *sys.argv[1:3], *map(int, sys.argv[3:5] or (0, 0))
    cases = dict(map(drawn, range(first, first + n))) or {name: (*case, B, T) for name, case in CASES.items()}
    with tempfile.TemporaryDirectory() as place:
        for name, case in cases.items():
            write(os.path.join(place, name), case)
        failed = subprocess.run([oracle, 'hf'], env={**os.environ, 'DIONODE_HF_FOLDERS': place}, check=False).returncode != 0
        for number, (name, case) in enumerate(cases.items()):
            moved, losses, others = through_the_program(place, dionode, name, case, number)
            bad = moved > 1e-6 or losses > 1e-5 or others
            failed = failed or bad
            print(f'{name}: after a run and an export logits of transformers differ by {moved:.1e}, losses of 2 x {STEPS} steps by '
                  f'{losses:.1e}, greedy tokens {"DIFFER" if others else "agree"}{": FAILED " + repr(case) if bad else ""}', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    if sys.argv[1] == '--write':
        for name in sys.argv[3:]:
            write(os.path.join(sys.argv[2], name), (*CASES[name], B, T))
    else:
        sys.exit(main())
