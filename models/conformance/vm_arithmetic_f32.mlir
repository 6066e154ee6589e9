// SPDX-License-Identifier: Apache-2.0
// Covers: VM instructions: arithmetic of f32
func.func @main(%x: tensor<3xf32>) -> tensor<14xf32> {
  %i_x0 = arith.constant 0 : index
  %x0 = tensor.extract %x[%i_x0] : tensor<3xf32>
  %i_x1 = arith.constant 1 : index
  %x1 = tensor.extract %x[%i_x1] : tensor<3xf32>
  %i_x2 = arith.constant 2 : index
  %x2 = tensor.extract %x[%i_x2] : tensor<3xf32>
  %zero = vm.const.f32.zero
  %tiny = vm.const.f32 0.125
  %magnitude = vm.abs.f32 %x1 : f32
  %divisor = vm.add.f32 %magnitude, %tiny : f32
  %r0 = vm.add.f32 %x0, %x1 : f32
  %r1 = vm.sub.f32 %x0, %x1 : f32
  %r2 = vm.mul.f32 %x0, %x1 : f32
  %r3 = vm.div.f32 %x0, %divisor : f32
  %r4 = vm.min.f32 %x0, %x1 : f32
  %r5 = vm.max.f32 %x0, %x1 : f32
  %r6 = vm.max.f32 %x0, %zero : f32
  %r7 = vm.abs.f32 %x0 : f32
  %r8 = vm.neg.f32 %x0 : f32
  %r9 = vm.ceil.f32 %x0 : f32
  %r10 = vm.floor.f32 %x0 : f32
  %r11 = vm.round.f32 %x0 : f32
  %r12 = vm.round.f32.even %x0 : f32
  %r13 = vm.fma.f32 %x0, %x1, %x2 : f32
  %out = tensor.from_elements %r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8, %r9, %r10, %r11, %r12, %r13 : tensor<14xf32>
  return %out : tensor<14xf32>
}
