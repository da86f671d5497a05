"""What a compression came to, as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fewtune.types import Compression, Evidence, Trade

FAILED = {
    "score": "it answers too differently",
    "size": "it is not smaller",
    "speed": "it is slower here",
    "alone": "its answers depend on what stands beside them in a batch",
}


def describe(found: Compression, trained_on: bool) -> str:
    """The result in a few sentences."""
    original = found.trades[0]
    if not found.kept:
        reasons = "; ".join(
            f"{trade.name}: {failures(trade, found.max_drop, found.metric)}" for trade in found.trades[1:]
        )
        return f"The original was kept. {reasons[:1].upper()}{reasons[1:]}."
    taken = next(trade for trade in found.trades if trade.name == found.name)
    assert taken.evidence is not None
    was, now = original.footprint, taken.footprint
    return (
        f"From {was.size_mb:.1f} to {now.size_mb:.1f} MB, from {was.p50_ms:.1f} to {now.p50_ms:.1f} ms an answer. "
        f"{evidence_words(taken.evidence, trained_on, found.metric)}"
    )


def failures(trade: Trade, max_drop: float, metric: str) -> str:
    """Which promises were broken, with the figures of the first of them."""
    words = [FAILED[promise] for promise in trade.failed]
    if "score" in trade.failed and trade.evidence is not None:
        words[0] += f" ({_figures(trade.evidence, max_drop, metric)})"
    return _joined(words)


def evidence_words(evidence: Evidence, trained_on: bool, metric: str) -> str:
    """What is known of the drop, and how well."""
    if evidence.by == "metric":
        known = f"The drop of {metric} is {_points(evidence.drop)}"
        if evidence.bound is not None:
            known += f", with 95 % confidence at most {_points(evidence.bound)}"
        if evidence.proven:
            return f"{known}."
        of = "on what it learnt from" if trained_on else f"on {evidence.inputs} examples, too few to prove more"
        return f"{known}, {of}; what new inputs lose is not proven."
    if evidence.by == "labels":
        return (
            f"The drop of accuracy is {_points(evidence.drop)}, with 95 % confidence at most {_points(evidence.bound)}."
        )
    if evidence.by == "answers":
        of = "Of the answers to training texts" if trained_on else "Of the answers"
        known = f"{of}, {evidence.changed:.1%} changed, with 95 % confidence at most {evidence.bound:.1%}"
        return f"{known}." if evidence.proven else f"{known}; what new inputs lose is not proven."
    return (
        f"Of {evidence.inputs} inputs {evidence.changed:.1%} got another answer, and in 95 of 100 no probability moved "
        f"by more than {evidence.shift:.3f}: too few to bound the drop, so it is not proven."
    )


def _figures(evidence: Evidence, max_drop: float, metric: str) -> str:
    if evidence.by == "metric":
        return (
            f"{metric} drops by {_points(evidence.drop)}, which could be {_points(evidence.bound)}; "
            f"{_points(max_drop)} are allowed"
        )
    if evidence.by == "labels":
        return (
            f"accuracy drops by {_points(evidence.drop)}, which could be {_points(evidence.bound)}; "
            f"{_points(max_drop)} are allowed"
        )
    if evidence.by == "answers":
        return f"{evidence.changed:.1%} of the answers changed, which could be {evidence.bound:.1%}; {max_drop:.1%} may"
    return f"{evidence.changed:.1%} of the answers changed, probabilities move by up to {evidence.shift:.3f}"


def _points(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} points"


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
