"""How much one request may ask for: what is longer is refused before anything is computed."""

from __future__ import annotations

HEAD_BYTES = 64 * 1024
BODY_BYTES = 2 * 1024 * 1024
INPUTS = 256
TEXT_CHARACTERS = 20_000
# Parts of a text that are left out one after the other to explain an answer; longer texts get coarser parts.
EXPLAINED_PARTS = 64
