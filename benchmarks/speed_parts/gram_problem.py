"""Eight losses of the multi-task network's masks, whose gradients are compared.

They are Tversky losses over the whole batch, which weight pixels that are wrongly of the class, and
pixels that are missed, by α and 1 - α.
"""

import numpy as np

from speed_parts import multitask_problem
from speed_parts.problem import Problem

ALPHAS = tuple(np.linspace(0.1, 0.9, 8).round(3).tolist())
REFERENCE = multitask_problem.REFERENCE._replace(batch=16)
TOY: Problem = multitask_problem.TOY
