"""``python -m kxfast`` is the command ``kxfast``."""

import sys

from kxfast.cli import main

sys.exit(main())
