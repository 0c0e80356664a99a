"""Data: decoded once into memory, batched by pure functions of (seed, draw)."""
