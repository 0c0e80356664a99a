"""Networks: one file an architecture family, what all of them share in `base`, and the blocks that several share."""
