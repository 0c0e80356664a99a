"""Metrics: detectors turn images into features, statistics sum features up, metrics compare statistics."""
