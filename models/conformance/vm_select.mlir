// SPDX-License-Identifier: Apache-2.0
// Covers: VM instructions: select and switch of i32, i64 and f32
func.func @main(%a: tensor<4xi32>, %b: tensor<2xi64>, %c: tensor<2xf32>) -> (tensor<3xi32>, tensor<2xi64>, tensor<2xf32>) {
  %i_a0 = arith.constant 0 : index
  %a0 = tensor.extract %a[%i_a0] : tensor<4xi32>
  %i_a1 = arith.constant 1 : index
  %a1 = tensor.extract %a[%i_a1] : tensor<4xi32>
  %i_a2 = arith.constant 2 : index
  %a2 = tensor.extract %a[%i_a2] : tensor<4xi32>
  %i_a3 = arith.constant 3 : index
  %a3 = tensor.extract %a[%i_a3] : tensor<4xi32>
  %i_b0 = arith.constant 0 : index
  %b0 = tensor.extract %b[%i_b0] : tensor<2xi64>
  %i_b1 = arith.constant 1 : index
  %b1 = tensor.extract %b[%i_b1] : tensor<2xi64>
  %i_c0 = arith.constant 0 : index
  %c0 = tensor.extract %c[%i_c0] : tensor<2xf32>
  %i_c1 = arith.constant 1 : index
  %c1 = tensor.extract %c[%i_c1] : tensor<2xf32>
  %three = vm.const.i32 3
  %index = vm.and.i32 %a0, %three : i32
  %odd = vm.cmp.nz.i32 %a1 : i32
  %p0 = vm.select.i32 %odd, %a2, %a3 : i32
  %p1 = vm.switch.i32 %index[%a1, %a2, %a3] else %a0 : i32
  %p2 = vm.switch.i32 %a0[%a1, %a2, %a3] else %a0 : i32
  %q0 = vm.select.i64 %odd, %b0, %b1 : i64
  // IREE's own runtime moves only the lower half here, so the values are small.
  %byte = vm.const.i64 255
  %s0 = vm.and.i64 %b0, %byte : i64
  %s1 = vm.and.i64 %b1, %byte : i64
  %q1 = vm.switch.i64 %index[%s1, %s0] else %s1 : i64
  %r0 = vm.select.f32 %odd, %c0, %c1 : f32
  %r1 = vm.switch.f32 %index[%c1, %c0] else %c1 : f32
  %p = tensor.from_elements %p0, %p1, %p2 : tensor<3xi32>
  %q = tensor.from_elements %q0, %q1 : tensor<2xi64>
  %r = tensor.from_elements %r0, %r1 : tensor<2xf32>
  return %p, %q, %r : tensor<3xi32>, tensor<2xi64>, tensor<2xf32>
}
