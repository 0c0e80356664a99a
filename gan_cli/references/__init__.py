"""References: what samples are compared with, and pictures in files that are measured themselves."""
