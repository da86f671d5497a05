"""How good a model is: metrics, their intervals, and what choosing the best of several adds to them."""
