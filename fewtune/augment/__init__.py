"""Ways to say the same a little differently, a file a kind."""
