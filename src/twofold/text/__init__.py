"""Text as strings: sanitized, masked, unwrapped, searched for support and for declining. Pure."""
