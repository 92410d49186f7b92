"""
Compiled kernels of kxfast, one submodule per stem; callers pass checked, canonical arrays.
"""

from __future__ import annotations

from . import attention as attention
from . import conv as conv
from . import cooccurrence as cooccurrence
from . import core as core
from . import gillespie as gillespie
from . import linear as linear
from . import lipschitz as lipschitz
from . import words as words
