"""Query rewriters. Entry points ``twofold.rewriters``."""
