"""Training: the one place that changes weights."""
