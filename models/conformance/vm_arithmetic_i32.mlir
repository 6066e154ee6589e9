// SPDX-License-Identifier: Apache-2.0
// Covers: VM instructions: arithmetic, logic and shifts of i32
func.func @main(%x: tensor<3xi32>) -> tensor<21xi32> {
  %i_x0 = arith.constant 0 : index
  %x0 = tensor.extract %x[%i_x0] : tensor<3xi32>
  %i_x1 = arith.constant 1 : index
  %x1 = tensor.extract %x[%i_x1] : tensor<3xi32>
  %i_x2 = arith.constant 2 : index
  %x2 = tensor.extract %x[%i_x2] : tensor<3xi32>
  %one = vm.const.i32 1
  %max = vm.const.i32 2147483647
  %odd = vm.or.i32 %x1, %one : i32
  %divisor = vm.and.i32 %odd, %max : i32
  %r0 = vm.add.i32 %x0, %x1 : i32
  %r1 = vm.sub.i32 %x0, %x1 : i32
  %r2 = vm.mul.i32 %x0, %x1 : i32
  %r3 = vm.div.i32.s %x0, %divisor : i32
  %r4 = vm.div.i32.u %x0, %divisor : i32
  %r5 = vm.rem.i32.s %x0, %divisor : i32
  %r6 = vm.rem.i32.u %x0, %divisor : i32
  %r7 = vm.and.i32 %x0, %x1 : i32
  %r8 = vm.or.i32 %x0, %x1 : i32
  %r9 = vm.xor.i32 %x0, %x1 : i32
  %r10 = vm.min.i32.s %x0, %x1 : i32
  %r11 = vm.min.i32.u %x0, %x1 : i32
  %r12 = vm.max.i32.s %x0, %x1 : i32
  %r13 = vm.max.i32.u %x0, %x1 : i32
  %r14 = vm.not.i32 %x0 : i32
  %r15 = vm.ctlz.i32 %x0 : i32
  %r16 = vm.abs.i32 %x0 : i32
  %r17 = vm.fma.i32 %x0, %x1, %x2 : i32
  %mask = vm.const.i32 31
  %amount = vm.and.i32 %x2, %mask : i32
  %r18 = vm.shl.i32 %x0, %amount : i32
  %r19 = vm.shr.i32.s %x0, %amount : i32
  %r20 = vm.shr.i32.u %x0, %amount : i32
  %out = tensor.from_elements %r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8, %r9, %r10, %r11, %r12, %r13, %r14, %r15, %r16, %r17, %r18, %r19, %r20 : tensor<21xi32>
  return %out : tensor<21xi32>
}
