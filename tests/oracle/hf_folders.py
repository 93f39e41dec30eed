"""Hugging Face folders against transformers: small random models of every family, made without any download.

    hf_folders.py PROGRAM-oracle PROGRAM-dionode         skipped without torch, transformers and safetensors
    hf_folders.py --write FOLDER NAME...                 writes the folders that hf.c reads, as those in hf/

A folder holds what transformers saves, and, computed in double from the weights as stored: reference/ (input_ids, labels
already shifted, -1 where nothing is counted, logits, loss) and gradients/ (of the mean loss, named and laid out as the
weights). hf.c compares ours with them; then each model goes through a run (init_from, learning rate 0) and an export, and
transformers must say the same of what comes back.
"""
import os
import pathlib
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
CASES = {  # name: (class of the configuration, its keys, dtype)
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
    'gemma': ('GemmaConfig', {**SIZES, 'head_dim': 20}, 'float32'),
}


def draw_weights(model):
    """Gains and biases away from 1 and 0, or a reader that drops them passes."""
    draws = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        x = torch.randn(weight.shape, generator=draws)
        if weight.dim() > 1:
            weight.data = x * (0.3 if 'emb' in name or 'wte' in name or 'wpe' in name else 1.5 / weight.shape[-1] ** 0.5)
        else:
            weight.data = 0.1 * x if name.endswith('bias') else weight.data + 0.2 * x


def exact_angles(model, config):
    """Frequencies are buffers, which a model in bfloat16 has rounded."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    for module in model.modules():
        if hasattr(module, 'inv_freq'):
            plain = module.rope_type == 'default'
            frequencies = module.compute_default_rope_parameters if plain else ROPE_INIT_FUNCTIONS[module.rope_type]
            module.inv_freq = frequencies(config)[0].double()


def save(folder, tensors):
    os.makedirs(folder)
    save_file(tensors, os.path.join(folder, 'model.safetensors'))


def stored_names(folder):
    files = [name for name in os.listdir(folder) if name.endswith('.safetensors')]
    return [name for file in sorted(files) for name in load_file(os.path.join(folder, file))]


def write(folder, case):
    kind, keys, dtype = CASES[case]
    config = getattr(transformers, kind)(**keys)
    config._attn_implementation = 'eager'
    model = transformers.AutoModelForCausalLM.from_config(config)
    draw_weights(model)
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size='40KB' if dtype == 'bfloat16' else '5GB')
    model = model.to(torch.float64).train()
    exact_angles(model, config)
    ids = torch.randint(0, V, (B, T + 1), generator=torch.Generator().manual_seed(2))
    inputs, labels = ids[:, :-1].contiguous(), ids[:, 1:].clone()
    labels[1, :5] = -1
    logits = model(input_ids=inputs).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), labels.reshape(-1), ignore_index=-1)
    loss.backward()
    gradients = {name: weight.grad.float().contiguous() for name, weight in model.named_parameters()}
    if 'embed_out.weight' in stored_names(folder) and 'lm_head.weight' in gradients:
        gradients['embed_out.weight'] = gradients['lm_head.weight']
    save(os.path.join(folder, 'gradients'), {name: gradients[name].clone() for name in stored_names(folder)})
    save(os.path.join(folder, 'reference'), {'input_ids': inputs.float(), 'labels': labels.float(),
                                             'logits': logits.detach().float().contiguous(), 'loss': loss.detach()[None]})


def logits_of(folder, inputs):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager')
    with torch.no_grad():
        return model(input_ids=inputs).logits


def through_a_run(place, dionode, case):
    """The largest difference of transformers' logits before and after, as a share of the largest."""
    data = os.path.join(place, 'text')
    with open(data, 'wb') as file:
        file.write(bytes(i * i % V for i in range(4000)))
    run, back, folder = (os.path.join(place, case + end) for end in ('.run', '.back', ''))
    train = [f'init_from={folder}', 'lr=0', 'sequence_length=32', f'train_files={data}', 'val_tokens=0', 'num_iterations=1',
             'batch_size=2', 'device_batch_size=1', f'checkpoint_dir={run}', 'fs_size=2']
    empty = os.path.join(place, 'empty.yaml')
    with open(empty, 'w', encoding='utf-8') as file:
        file.write('optimizer: adamw\n')
    for command in ([dionode, 'train', '--np', '2', empty, *train], [dionode, 'export', run, '-o', back, '--dtype', CASES[case][2]]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f'{case}: {" ".join(command)}\n{done.stderr}')
    inputs = load_file(os.path.join(folder, 'reference', 'model.safetensors'))['input_ids'].long()
    before, after = logits_of(folder, inputs), logits_of(back, inputs)
    return ((after - before).abs().max() / before.abs().max()).item()


def main():
    oracle, dionode = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as place:
        for case in CASES:
            write(os.path.join(place, case), case)
        done = subprocess.run([oracle, 'hf'], env={**os.environ, 'DIONODE_HF_FOLDERS': place}, check=False)
        failed = done.returncode != 0
        for case in CASES:
            worst = through_a_run(place, dionode, case)
            failed = failed or worst > 1e-6
            print(f'{case}: after a run and an export logits of transformers differ by {worst:.1e}')
    return 1 if failed else 0


if __name__ == '__main__':
    if sys.argv[1] == '--write':
        for name in sys.argv[3:]:
            write(os.path.join(sys.argv[2], name), name)
    else:
        sys.exit(main())
