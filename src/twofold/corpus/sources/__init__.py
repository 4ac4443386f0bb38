"""Sources: where documents come from. Entry points ``twofold.sources``."""
