"""Models that a server computes: the costs of a prompt's tokens, asked for over HTTP and checked."""
