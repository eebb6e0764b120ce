"""GGUF files computed by llama.cpp itself, as its users get them."""
