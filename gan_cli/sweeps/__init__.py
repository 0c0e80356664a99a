"""Sweeps: many runs with one answer; a sweep that was killed goes on where it was."""
