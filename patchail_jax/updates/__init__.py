"""Pure update steps: each takes parameters and a prepared batch and gives new parameters and named numbers."""
