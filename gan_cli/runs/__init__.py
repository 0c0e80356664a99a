"""A run from outside: playing one session of it, and restoring its game from its checkpoints."""
