"""From checked data to a tuned and scored model: one way for classes, one for every other kind of answer."""
