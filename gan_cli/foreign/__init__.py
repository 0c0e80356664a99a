"""Checkpoints of other people's code: read without running anything, and translated name by name."""
