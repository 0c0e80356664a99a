"""A run from outside: one session of it, and its game back from its checkpoints."""
