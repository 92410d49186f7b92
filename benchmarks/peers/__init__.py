"""What others use for the same jobs, one module per stem; each maker imports its library when called."""
