"""Sources → documents → chunks."""
