"""Kernels for NVIDIA GPUs: sources in ``cuda/``, compiled where they run, launched through CuPy."""
