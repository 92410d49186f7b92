"""Rates that other processes can import."""


def hill(U, V, k):
    if U < 0:
        return -1.0
    return 15 / (1 + (V / k) ** 2)


def pairs(V):
    """Returns an int: 2 V -> V as powers of counts would have it."""
    return int(V) * (int(V) - 1)


def many(A, B, C, D):
    return A + B + C + D
