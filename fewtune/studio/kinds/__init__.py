"""What a project can be of. Another task is another file here, one line below, and a file among the page's views."""

from __future__ import annotations

from fewtune.studio.kinds.boxes import BoxKind
from fewtune.studio.kinds.kind import Kind
from fewtune.studio.kinds.masks import MaskKind
from fewtune.studio.kinds.pictures import PictureKind
from fewtune.studio.kinds.text import TextKind

KINDS: dict[str, Kind] = {kind.task: kind for kind in (TextKind(), PictureKind(), BoxKind(), MaskKind())}
