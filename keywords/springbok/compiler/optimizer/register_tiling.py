# SPDX-License-Identifier: Apache-2.0
"""Kernels of convolutions and matrix products, tiled for the vector registers.

Reason: the compiler's own kernels load the activations as short vectors and spread them by `vrgather`, and spill the
sums: 4 to 7 instructions for one vector of products. Here each activation is one scalar load and one `vmacc.vx`, the
vectors run along the output channels, up to a whole group of registers, and a tile of neighbouring outputs shares
each load of weights. Depthwise convolutions multiply vectors of channels. What follows element by element (bias,
requantisation, the other branch of a sum) is done on the registers, and the result is stored into its padded place.

The order of summation stays, so floating point is the same too.

Precondition: static shapes, one product of two operands summed up, the second of them with the output's innermost
dimension innermost; the first indexed by sums of loops, with that dimension innermost (depthwise) or not at all.
"""

from __future__ import annotations

from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    operations,
    owner,
    uses,
    where,
)
from springbok.compiler.optimizer.kernels import GROUP, Kernel
from springbok.compiler.optimizer.merged_pixels import merge
from springbok.compiler.optimizer.pixel_kernels import PixelKernel
from springbok.compiler.optimizer.pixel_plans import PixelPlan, plans_of
from springbok.compiler.optimizer.planes import Planes, as_planes, origin
from springbok.compiler.optimizer.products import generalise_vecmat, is_float
from springbok.compiler.optimizer.reductions import Reduction, read
from springbok.compiler.optimizer.transformation import Change, Visits
from springbok.compiler.optimizer.vector_code import (
    erase_dead,
    vector_bits,
)


class RegisterTiling:
    """See the module."""

    name = "register-tiling"
    vectors_only = True
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes, vlen, visits = [], vector_bits(module), visits or Visits()
        for operation in visits.of(operations(module, "linalg.vecmat")):
            if not is_float(operation):
                changes.append(Change(self.name, where(operation), False, "its elements are not floating point"))
            elif uses(operation.operands[1]) > 1:
                detail = "its weights are used at other places too, and each would get a kernel of its own"
                changes.append(Change(self.name, where(operation), False, detail))
            else:
                generalise_vecmat(operation)
        erase_dead(module)
        sums = [each.operation for each in Generic.all(module) if any(each.reductions)]
        readings = {each.results[0]: read(Generic(each)) for each in sums}
        plans = plans_of([each for each in readings.values() if not isinstance(each, str)], vlen)
        planes: dict[ir.Value, Planes] = {}
        for operation in visits.of(sums):
            place, reduction = where(operation), read(Generic(operation))
            if isinstance(reduction, str):
                changes.append(Change(self.name, place, False, reduction))
            else:
                made = self._kernel(reduction, vlen, plans.get(operation.results[0]), planes)
                changes.append(Change(self.name, place, True, made.replace()))
                erase_dead(module)
        return changes

    @staticmethod
    def _kernel(reduction: Reduction, vlen: int, plan: PixelPlan | None, planes: dict[ir.Value, Planes]) -> Kernel:
        """What builds the kernel of a reduction; ``planes`` are those of `PixelKernel` before it."""
        if plan is None:
            return Kernel(merge(reduction, GROUP * vlen // 32, vlen // 32) or reduction, vlen)
        taken = None
        if plan.read is not None:
            left = reduction.generic.operands[reduction.left]
            pad = owner(left, "tensor.pad")
            image = left if pad is None else pad.operands[0]
            taken = origin(image)
            if taken not in planes:
                # What made it may have stored it into its padding.
                lows = (0, 0) if tuple(image.type.shape[:2]) == plan.read.shape[:2] else plan.lows
                operation = reduction.generic.operation
                with ir.InsertionPoint(operation), operation.location:
                    taken = as_planes(image, plan.read, lows, vlen)
                planes[taken] = plan.read
        return PixelKernel(reduction, vlen, planes, taken, plan.made, plan.pieces, plan.shared, plan.lows)
