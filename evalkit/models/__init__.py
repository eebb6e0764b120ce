"""Models: what turns bytes into a code length, the catalog that names them, and the loaders that bring them."""
