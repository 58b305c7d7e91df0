"""Numbers over pixels: from what a discriminator says about patches to what it says about a frame."""
