"""How every graph is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# How long a thread spins that waits for the others of its graph. An operation of a few dozen microseconds is over
# before a sleeping thread is awake; milliseconds of it, which is what ONNX Runtime does by itself, take the cores
# from whatever else wants them.
_SPIN_MICROSECONDS = 50
# The first version that can be told how long; an older one spins for milliseconds, or not at all.
_CAN_SPIN_BRIEFLY = (1, 26)


def can_spin_briefly() -> bool:
    """Whether ONNX Runtime can be told for how long its threads spin."""
    import onnxruntime

    return tuple(int(number) for number in onnxruntime.__version__.split(".")[:2]) >= _CAN_SPIN_BRIEFLY


def open_session(model: bytes | Path, threads: int) -> InferenceSession:
    """Open a graph.

    Args:
        model: a serialised ONNX model, or the file it is in.
        threads: how many threads one computation may use.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(can_spin_briefly())))
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_MICROSECONDS))
    # Nobody spins between two computations.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    content = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
