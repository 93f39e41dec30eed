"""Adapters against PEFT: those of runs of small random models, which transformers makes without any download.

    peft_adapters.py PROGRAM-dionode       skipped without torch, transformers and peft

A run trains adapters beside each model (init_from), on a mesh. What is exported is put on the model by PEFT, which must then say what
transformers says of `export --merge`, of which Dionode made one model of both, and something else than of the model as it came.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path = [place for place in sys.path if pathlib.Path(place or '.').resolve() != HERE]  # there tokenizers.py is another
SKIPPED = 77  # to meson: not a failure
try:
    import peft
    import torch
    import transformers
except ImportError as missing:
    print(f'skipped: {missing}')
    sys.exit(SKIPPED)
sys.path.append(str(HERE))
import hf_folders  # noqa: E402
DIONODE = sys.argv[1]

CASES = {  # model of hf_folders.py: keys of the run, ranks
    'llama_tied': ({}, 1),
    'llama_biased': ({'lora_targets': "[q_proj, v_proj]", 'lora_alpha': 16, 'tp_size': 2}, 2),
    'mistral_window': ({'lora_targets': "['mlp.*']", 'lora_alpha': 3, 'fs_size': 2}, 2),
    'qwen2_window': ({'lora_alpha': 2.5, 'tp_size': 3}, 3),
    'qwen3': ({'lora_targets': "[o_proj, down_proj, k_proj]", 'dp_size': 2}, 2),
    'gemma': ({'lora_alpha': 8, 'tp_size': 2}, 2),
}


def must(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f'{" ".join(done.args)}\n{done.stderr}')


def logits_of(model):
    inputs = torch.arange(2 * 37).reshape(2, 37) * 7 % hf_folders.V
    with torch.no_grad():
        return model(input_ids=inputs).logits


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager')


def differences(place, case):
    """Of PEFT's logits from those of the merged model, and of these from those of the model as it came, as shares of the largest."""
    keys, ranks = CASES[case]
    folder, run, adapter, merged = (place / (case + end) for end in ('', '.run', '.adapter', '.merged'))
    hf_folders.write_model(str(folder), hf_folders.CASES[case])
    (place / 'data').write_bytes(bytes(i * i % hf_folders.V for i in range(4000)))
    (place / 'empty.yaml').write_text('optimizer: adamw\n')
    keys = {'lr': 0.01, 'sequence_length': 32, 'val_tokens': 0, 'train_files': place / 'data', 'num_iterations': 5, 'batch_size': 2,
            'device_batch_size': 1, 'lora_rank': 3, 'init_from': folder, 'checkpoint_dir': run, **keys}
    must(DIONODE, 'train', '--np', ranks, place / 'empty.yaml', *(f'{key}={value}' for key, value in keys.items()))
    must(DIONODE, 'export', run, '-o', adapter)
    must(DIONODE, 'export', run, '--merge', '-o', merged)
    before, wanted = logits_of(load(folder)), logits_of(load(merged))
    got = logits_of(peft.PeftModel.from_pretrained(load(folder), adapter))
    size = wanted.abs().max()
    return ((got - wanted).abs().max() / size).item(), ((before - wanted).abs().max() / size).item()


def main():
    failed = False
    warnings.simplefilter('error', UserWarning)  # PEFT warns of keys of an adapter that are missing or that it has no place for
    warnings.simplefilter('ignore', FutureWarning)
    with tempfile.TemporaryDirectory() as place:
        for case in CASES:
            off, moved = differences(pathlib.Path(place), case)
            bad = off > 1e-5 or moved < 1e-2  # float: another order of sums
            failed = failed or bad
            print(f'{case}: logits by PEFT differ by {off:.1e} from the merged model, which training moved by {moved:.1e}'
                  f'{": FAILED" if bad else ""}', flush=True)
    return 1 if failed else 0


sys.exit(main())
