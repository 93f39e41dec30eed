"""Trains by microsoft/dion itself and by dionode from one state, and compares 30 losses of every optimizer. By hand: needs
PyTorch and a checkout of microsoft/dion.

    reference_run.py CHECKOUT [BUILD-DIR [CASE...]]

The reference is its training script's own `init_optimizer` on its own model, on one process on a CPU: gradients without
autocast, rotary positions in float. A case is run three times: in double, Newton-Schulz too, beside dionode-f64; in float, Newton-Schulz too; and
"as it is", where the reference takes bfloat16 for Newton-Schulz and, with mixed_precision, for states. A batch has 512
tokens, more than the largest rank: with fewer, gradients lack directions, and rounding alone decides where Dion looks.

The learning rate of the first step is 0 on both sides. What dionode has then are the weights as they were drawn, which the reference
takes before it, and Dion's momentum and Q, which it takes after it: its own first Q is another. The 30 losses that follow are
compared. Exit status 1 if a difference is above its bound.
"""
import glob
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import types

os.environ['TORCHDYNAMO_DISABLE'] = '1'
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402

N_STEPS = 30
SIZES = dict(model_dim=64, n_layer=2, n_head=4, sequence_length=64, batch_size=8, device_batch_size=8)
BASE = dict(SIZES, num_iterations=N_STEPS + 1, warmup_ratio=0.1, warmdown_ratio=0.2, lr=0.02, scalar_opt='lion', no_triton=True)
VOCABULARY = 256
# Of Dion at full rank P is ill-conditioned, and the reference, which orthonormalizes it by a random sketch, differs from
# itself by 1e-4 when its own random numbers are others.
DOUBLE, FLOAT, FULL_RANK, HALF = 1e-10, 1e-6, 1e-3, 5e-3
CASES = {
    'dion': dict(optimizer='dion', ortho_fraction=0.25),
    'dion, adamw': dict(optimizer='dion', ortho_fraction=0.5, scalar_opt='adamw'),
    'dion, full rank': dict(optimizer='dion', ortho_fraction=1.0),
    'dion, mixed': dict(optimizer='dion', ortho_fraction=0.25, mixed_precision=True),
    'dion_reference': dict(optimizer='dion_reference', ortho_fraction=0.25),
    'muon': dict(optimizer='muon'),
    'muon, polar express': dict(optimizer='muon', use_polar_express=True, scalar_opt='adamw'),
    'muon, gram': dict(optimizer='muon', use_gram_newton_schulz=True),
    'muon, rms_norm': dict(optimizer='muon', adjust_lr='rms_norm', lr=0.005),  # its steps are longer: at 0.02 rounding grows to 1e-5
    'muon_reference': dict(optimizer='muon_reference'),
    'normuon': dict(optimizer='normuon'),
    'normuon, adamw': dict(optimizer='normuon', scalar_opt='adamw', use_polar_express=True),
    'dion2': dict(optimizer='dion2', mu=0.8),
    'nordion2': dict(optimizer='nordion2'),
    'dion3, gram': dict(optimizer='dion3', use_gram_newton_schulz=True, scalar_opt='adamw'),
    'adamw': dict(optimizer='adamw', lr=0.002),
}


def write_tokens(folder):
    """A noisy chain, so that there is something to learn."""
    generator, tokens = torch.Generator().manual_seed(1), [0]
    noise, other = (torch.randint(n, (60000,), generator=generator).tolist() for n in (10, VOCABULARY))
    for a, b in zip(noise, other):
        tokens.append((3 * tokens[-1] + 1 + a) % VOCABULARY if a else b)
    for name in 'train', 'val':
        with open(os.path.join(folder, f'fineweb_{name}_000000.bin'), 'wb') as f:
            f.write(struct.pack('<256i', 20240520, 1, len(tokens), *[0] * 253) + struct.pack(f'<{len(tokens)}H', *tokens))
    return torch.tensor(tokens)


def read_tensors(path):
    types_of = {'F32': torch.float32, 'F64': torch.float64, 'BF16': torch.bfloat16}
    with open(path, 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
        data = bytearray(f.read())
    return {name: torch.frombuffer(data[slice(*t['data_offsets'])], dtype=types_of[t['dtype']]).reshape(t['shape'])
            for name, t in header.items() if name != '__metadata__'}


def ours(program, folder, settings):
    """The state after a step without a learning rate, and the losses of the steps that follow."""
    run, config = os.path.join(folder, 'run'), os.path.join(folder, 'config.yaml')
    shutil.rmtree(run, ignore_errors=True)
    with open(config, 'w', encoding='utf-8') as f:
        f.writelines(f'{key}: {str(value).lower() if isinstance(value, bool) else value}\n' for key, value in settings.items())
    command = [program, 'train', config, f'data_dir={folder}', f'checkpoint_dir={run}', f'vocab_size={VOCABULARY}', 'dp_size=1',
               'shuffle=false', 'val_loss_every=0']
    for more in ['lr=0', 'stop_after=1'], []:
        done = subprocess.run(command + more, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        state = state if not more else read_tensors(*glob.glob(os.path.join(run, 'step_*1.safetensors')))
    with open(os.path.join(run, 'metrics.jsonl'), encoding='utf-8') as f:
        return state, [row['loss'] for row in map(json.loads, f) if row['step'] > 1]


def import_reference(checkout, folder, numbers):
    """The script's module, of a copy whose Newton-Schulz works in float or double if that is asked for."""
    copy = os.path.join(folder, numbers)
    if not os.path.exists(copy):
        shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns('.git'))
        for path in glob.glob(os.path.join(copy, 'dion', '*.py')) * (numbers != 'as it is') + [os.path.join(copy, 'models', 'gpt_model.py')]:
            with open(path, encoding='utf-8') as f:
                text = f.read()
            with open(path, 'w', encoding='utf-8') as f:
                wider = 'double' if numbers == 'double' else 'float'
                text = text.replace('torch.bfloat16', f'torch.{wider}').replace('.bfloat16()', f'.{wider}()')
                text = text.replace('size(-1),)', 'size(-1),), eps=2**-23')  # of float; PyTorch's would be that of double in double
                f.write(text.replace('.float()', f'.{wider}()').replace('torch.float32', f'torch.{wider}'))
    for name in [name for name in sys.modules if re.match(r'(train|dion|models)(\.|$)', name)]:
        del sys.modules[name]
    sys.path[:] = [copy] + [p for p in sys.path if not p.startswith(folder)]
    for name in 'wandb', 'tqdm':  # a service and a bar, which are not needed
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
            sys.modules[name].tqdm = None
    return importlib.import_module('train')


def reference(train, folder, settings, state, tokens, numbers):
    """The losses of the reference from that state."""
    config = os.path.join(folder, 'reference.yaml')
    with open(config, 'w', encoding='utf-8') as f:
        json.dump(settings, f)
    sys.argv = ['train.py', '--config', config]
    train.MASTER_PROCESS = False
    arguments = train.parse_cli_args()
    arguments.no_triton = True
    hp = train.override_args_from_cli(train.Hyperparameters(), arguments)
    hp.verbose = False
    model = train.GPT(train.GPTConfig(hp.sequence_length, VOCABULARY, hp.n_layer, hp.n_head, hp.model_dim))
    model.init_weights()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(state[name])
    optimizer = train.init_optimizer(model, None, types.SimpleNamespace(process_group=dist.group.WORLD), hp, arguments)
    warm, cool = round(hp.warmup_ratio * hp.num_iterations), round(hp.warmdown_ratio * hp.num_iterations)

    def rate(step):  # the script's, but for the first step
        if step < warm:
            return (step + 1) / warm if step > 0 else 0
        return 1.0 if step <= hp.num_iterations - cool else (hp.num_iterations - step) / cool

    schedule, losses = torch.optim.lr_scheduler.LambdaLR(optimizer, rate), []
    n = hp.batch_size * hp.sequence_length
    for step in range(hp.num_iterations):
        x, y = (tokens[step * n + shift:(step + 1) * n + shift].view(hp.batch_size, -1) for shift in (0, 1))
        loss = model(x, y)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        schedule.step()
        model.zero_grad(set_to_none=True)
        for name, p in model.named_parameters():
            if step == 0 and f'dion.q.{name}' in state:
                optimizer.state[p]['Q'].copy_(state[f'dion.q.{name}'])
                optimizer.state[p]['momentum'].copy_(state[f'dion.momentum.{name}'])
    return losses


def main():
    checkout, build = os.path.abspath(sys.argv[1]), os.path.abspath((sys.argv[2:] or ['build'])[0])
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT='0')
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=0, world_size=1)
        tokens = write_tokens(folder)
        for name in sys.argv[3:] or CASES:
            settings = dict(BASE, **CASES[name])
            for numbers in 'double', 'float', 'as it is':
                if numbers != 'as it is':
                    program = os.path.join(build, 'dionode-f64' if numbers == 'double' else 'dionode')
                    state, found = ours(program, folder, settings)
                torch.set_default_dtype(torch.float64 if numbers == 'double' else torch.float32)
                try:
                    expected = reference(import_reference(checkout, folder, numbers), folder, settings, state, tokens, numbers)
                except ImportError as error:  # the Gram form is a package that not every machine can install
                    print(f'{name:22}not compared: {error}', flush=True)
                    break
                off = max(abs(a - b) / abs(b) for a, b in zip(found[-N_STEPS:], expected[-N_STEPS:]))
                newton_schulz = settings['optimizer'] not in ('dion', 'dion_reference', 'adamw')
                selects = settings['optimizer'] in ('dion2', 'nordion2', 'dion3')  # which rows are the largest, rounding may decide
                bound = (HALF if 'mixed_precision' in settings or newton_schulz and numbers == 'as it is' or
                         selects and numbers == 'float' else
                         FULL_RANK if settings.get('ortho_fraction') == 1 else DOUBLE if numbers == 'double' else FLOAT)
                print(f'{name:22}{numbers:10}loss {expected[0]:.6f} -> {expected[-1]:.6f}, here {found[-1]:.6f}: '
                      f'differs by {off:.1e} at most, bound {bound:.0e}{"" if off <= bound else "  ABOVE"}', flush=True)
                failed |= not off <= bound
        dist.destroy_process_group()
    sys.exit(failed)


main()
