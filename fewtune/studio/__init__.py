"""The page for people who do not use a terminal: label, train, see how good it is, take it away."""
