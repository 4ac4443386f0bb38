"""Live tools: SQL and HTTP asked at question time. Entry points ``twofold.tools``."""
