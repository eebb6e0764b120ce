"""Models: what turns bytes into a code length, the catalog that names them, the loaders."""
