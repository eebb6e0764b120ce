"""GGUF files: weights, settings and tokenizer in one, dequantised into networks that evalkit computes."""
