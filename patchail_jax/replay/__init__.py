"""The agent's episodes as single frames in numpy, and batches of n-step windows cut from them."""
