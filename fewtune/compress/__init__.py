"""Make a bundle smaller or faster, and deliver it only where it was measured to keep its promise."""
