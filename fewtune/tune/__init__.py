"""Ways to learn from few labels, a file each."""
