"""The command line: each module one command or one group of commands."""
