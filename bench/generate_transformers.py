"""Generation in transformers on the same cores, as a baseline for bench/generate: random weights, greedy, keys and values cached.

    python3 bench/generate_transformers.py [--threads N] [--tokens N]     needs PyTorch and transformers (PyPI, a CPU build)

Prints tokens/s of a prompt and of tokens one by one, and the share of what PyTorch itself reads of memory here that the weights alone
come to. The small model is a mistral of the quickstart's width, as transformers has none with its MLP.
"""
import argparse
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM


def models():
    small = MistralConfig(vocab_size=256, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4,
                        intermediate_size=683, max_position_embeddings=256, sliding_window=None, tie_word_embeddings=False)
    yield "mistral, 3.3 M parameters, T 256", MistralForCausalLM(small), 256
    yield "gpt2, 124 M parameters, T 1024", GPT2LMHeadModel(GPT2Config()), 1024


def best(work, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def read_peak():
    """Bytes a second, of a sum over more than caches hold."""
    x = torch.ones(1 << 25)
    return 4 * x.numel() / best(x.sum, 20)


def decode(model, n):
    """Seconds of n tokens one by one."""
    token, cache = torch.zeros((1, 1), dtype=torch.long), None
    start = time.perf_counter()
    for _ in range(n):
        out = model(token, past_key_values=cache, use_cache=True)
        token, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
    return time.perf_counter() - start


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--tokens", type=int, default=1 << 20, help="at most so many; all positions are the most")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    print(f"# PyTorch {torch.__version__}, {given.threads} threads")
    for name, model, T in models():
        model.eval()
        n, prompt = min(T, given.tokens), torch.randint(256, (1, min(T, given.tokens)))
        with torch.no_grad():
            prefill_s = best(lambda: model(prompt, use_cache=True), 3)
            decode(model, min(n, 8))
            decode_s = decode(model, n)
        table = model.get_input_embeddings().weight.numel() if not model.config.tie_word_embeddings else 0
        weights = 4 * (sum(p.numel() for p in model.parameters()) - table)  # of a table of its own a token reads a row
        share = weights * n / decode_s / read_peak()
        print(f"{name}\n  prefill {n / prefill_s:8.0f} tokens/s\n  decode  {n / decode_s:8.0f} tokens/s, "
              f"{weights * n / decode_s / 1e9:.1f} GB/s of weights, {100 * share:.0f} % of what memory gives")


main()
