"""The compiled kernels; each module lists what its stem serves."""
