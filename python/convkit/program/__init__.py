"""From layers to a straight-line list of instructions, in five short passes.

lower (layers to instructions), fuse (activations into the op before them, softmax into its loss),
differentiate (the same list backwards), choose (kernel rows), allocate (offsets in one arena).
"""

from convkit.program.builder import Builder
from convkit.program.compile import compile_program
from convkit.program.program import Instruction, Program, Value

__all__ = ["Builder", "Instruction", "Program", "Value", "compile_program"]
