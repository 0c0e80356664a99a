"""Networks: one file an architecture family, and the blocks that they share.

A generator is called with `(latent [N, Z], label [N])`, a discriminator with `(samples, label [N])`.
"""
