"""What the discriminator sees of real and fake samples. Gradients, and gradients of gradients, pass through."""
