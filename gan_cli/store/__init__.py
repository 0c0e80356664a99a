"""Files: written whole, read without running anything, and where a run keeps them."""
