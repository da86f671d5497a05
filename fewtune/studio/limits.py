"""How much one request may bring: what is longer is refused."""

from __future__ import annotations

BODY_BYTES = 2 * 1024 * 1024
UPLOAD_BYTES = 400_000_000
# A part of an upload that takes longer to arrive will not arrive.
UPLOAD_PART_SECONDS = 60.0
TEXT_CHARACTERS = 100_000
NAME_CHARACTERS = 100
LABELS = 1_000
# On one picture.
SHAPES = 1_000
# Of the longer side of a mask as it is painted, and its run lengths, two numbers each.
MASK_PX = 1_024
MASK_NUMBERS = 400_000
MASK_LABELS = 254
ROWS = 1_000_000
PAGE_ROWS = 200
# Of a text in a list of many; the whole text is there where one is labelled.
LISTED_CHARACTERS = 500
# A zip of pictures hardly shrinks: one that unpacks to so many times its size, and more than this, is a bomb.
UNPACKED_GROWTH = 20
UNPACKED_BYTES = 100_000_000
