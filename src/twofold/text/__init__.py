"""Text as strings: sanitised, masked, unwrapped, searched for support and for declining. Pure."""
