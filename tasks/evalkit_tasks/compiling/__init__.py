"""Regular languages compiled to RWKV-7 weights."""
