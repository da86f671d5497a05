"""Attacks on finished models, and views of texts, by TextAttack in a process and an environment of its own."""
