"""The errors kxfast raises beyond Python's own TypeError, ValueError and MemoryError."""


class BackendError(RuntimeError):
    """A backend that was asked for cannot serve the call; the message says why and which can."""
