"""What is handed to operations: offline bundles, backups, and their restoring."""
