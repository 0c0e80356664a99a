"""Networks: one file per architecture family, what all of them share in `base`, and the blocks that several share."""
