"""From what a discriminator says about patches to what it says about pixels."""
