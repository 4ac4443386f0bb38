"""The quality of examples: findings, labels, personal data, and their cleaning."""
