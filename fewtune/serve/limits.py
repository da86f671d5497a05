"""How much one request may ask for: what is longer is refused before anything is computed."""

from __future__ import annotations

HEAD_BYTES = 64 * 1024
BODY_BYTES = 2 * 1024 * 1024
# Where pictures are read. All bodies together never take more memory than the last of these.
PICTURE_BODY_BYTES = 32 * 1024 * 1024
ALL_BODIES_BYTES = 256 * 1024 * 1024
INPUTS = 256
TEXT_CHARACTERS = 20_000
PICTURES = 32
# Decoded, a picture takes three bytes a pixel.
PICTURE_PIXELS = 50_000_000
MESSAGES = 100
# Parts of a text that are left out one after the other to explain an answer; longer texts get coarser parts.
EXPLAINED_PARTS = 64
# Patches of a picture that are greyed one after the other, a side.
EXPLAINED_PATCHES = 6
