"""What the discriminator sees of real and fake samples. Gradients and second derivatives pass through."""
