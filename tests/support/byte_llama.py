"""A small Llama that reads bytes, as a folder of transformers: what servers of the tests serve."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from evalkit.embedded.vocabulary import byte_vocabulary, of_transformers

CONTEXT, VOCAB_SIZE, START_ID = 512, 257, 256


@functools.cache
def byte_llama() -> Path:
    """The folder; gone when the process ends.

    Weights are drawn so widely that what comes next is far from even, and differs from context to context.
    """
    import torch
    import transformers

    folder = Path(tempfile.mkdtemp(prefix="byte-llama-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=CONTEXT,
            bos_token_id=START_ID,
            eos_token_id=START_ID,
            tie_word_embeddings=False,
            initializer_range=0.1,
        )
        network = transformers.LlamaForCausalLM(config)
        with torch.no_grad():
            network.lm_head.weight[0xC0:] *= 0.1  # as in text, nothing above is ever the likeliest
        network.save_pretrained(folder)
    of_transformers(byte_vocabulary(), CONTEXT).save_pretrained(folder)
    return folder
