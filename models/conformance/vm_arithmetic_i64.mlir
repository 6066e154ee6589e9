// SPDX-License-Identifier: Apache-2.0
// Covers: VM instructions: arithmetic, logic and shifts of i64; i64 input and output
func.func @main(%x: tensor<3xi64>) -> tensor<21xi64> {
  %i_x0 = arith.constant 0 : index
  %x0 = tensor.extract %x[%i_x0] : tensor<3xi64>
  %i_x1 = arith.constant 1 : index
  %x1 = tensor.extract %x[%i_x1] : tensor<3xi64>
  %i_x2 = arith.constant 2 : index
  %x2 = tensor.extract %x[%i_x2] : tensor<3xi64>
  %one = vm.const.i64 1
  %max = vm.const.i64 9223372036854775807
  %odd = vm.or.i64 %x1, %one : i64
  %divisor = vm.and.i64 %odd, %max : i64
  %r0 = vm.add.i64 %x0, %x1 : i64
  %r1 = vm.sub.i64 %x0, %x1 : i64
  %r2 = vm.mul.i64 %x0, %x1 : i64
  %r3 = vm.div.i64.s %x0, %divisor : i64
  %r4 = vm.div.i64.u %x0, %divisor : i64
  %r5 = vm.rem.i64.s %x0, %divisor : i64
  %r6 = vm.rem.i64.u %x0, %divisor : i64
  %r7 = vm.and.i64 %x0, %x1 : i64
  %r8 = vm.or.i64 %x0, %x1 : i64
  %r9 = vm.xor.i64 %x0, %x1 : i64
  %r10 = vm.min.i64.s %x0, %x1 : i64
  %r11 = vm.min.i64.u %x0, %x1 : i64
  %r12 = vm.max.i64.s %x0, %x1 : i64
  %r13 = vm.max.i64.u %x0, %x1 : i64
  %r14 = vm.not.i64 %x0 : i64
  %r15 = vm.ctlz.i64 %x0 : i64
  %r16 = vm.abs.i64 %x0 : i64
  %r17 = vm.fma.i64 %x0, %x1, %x2 : i64
  %mask = vm.const.i32 63
  %low = vm.trunc.i64.i32 %x2 : i64 -> i32
  %amount = vm.and.i32 %low, %mask : i32
  %r18 = vm.shl.i64 %x0, %amount : i64
  %r19 = vm.shr.i64.s %x0, %amount : i64
  %r20 = vm.shr.i64.u %x0, %amount : i64
  %out = tensor.from_elements %r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8, %r9, %r10, %r11, %r12, %r13, %r14, %r15, %r16, %r17, %r18, %r19, %r20 : tensor<21xi64>
  return %out : tensor<21xi64>
}
