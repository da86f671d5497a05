"""Labels: which of them look wrong."""
