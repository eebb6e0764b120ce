"""RWKV-7 in an implementation of our own: network, checkpoints, tokenizers, initial values."""
