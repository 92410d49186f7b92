"""Pure NumPy: the definition of every result, in its shortest readable form."""
