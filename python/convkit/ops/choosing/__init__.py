"""Which kernel runs a call: the one place that chooses.

Models, the fusion of pooling and the functions of `convkit.ops` all ask `consider`. It looks at the
rows of the pass's table: what supports the call, what the user's limits leave, and of these the one
that is named, measured or predicted to be the fastest. Nothing in a choice depends on the number of
threads unless `autotune` measures, so bits do not.
"""

from convkit.ops.choosing.choice import Candidate, Choice, choose, consider
from convkit.ops.choosing.policy import AS_USUAL, Policy, call_text

__all__ = ["AS_USUAL", "Candidate", "Choice", "Policy", "call_text", "choose", "consider"]
