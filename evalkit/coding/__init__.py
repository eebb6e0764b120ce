"""Real compression: bytes coded by a model's own distributions, and decoded again to the last bit."""
