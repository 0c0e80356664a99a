"""Evaluation: any source of images against any reference, through detectors, by metrics."""
