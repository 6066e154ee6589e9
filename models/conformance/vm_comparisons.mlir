// SPDX-License-Identifier: Apache-2.0
// Covers: VM instructions: comparisons of i32, i64 and f32, NaN included; inputs of three types
func.func @main(%a: tensor<2xi32>, %b: tensor<2xi64>, %c: tensor<2xf32>) -> tensor<37xi32> {
  %i0 = arith.constant 0 : index
  %a0 = tensor.extract %a[%i0] : tensor<2xi32>
  %b0 = tensor.extract %b[%i0] : tensor<2xi64>
  %c0 = tensor.extract %c[%i0] : tensor<2xf32>
  %i1 = arith.constant 1 : index
  %a1 = tensor.extract %a[%i1] : tensor<2xi32>
  %b1 = tensor.extract %b[%i1] : tensor<2xi64>
  %c1 = tensor.extract %c[%i1] : tensor<2xf32>
  %r0 = vm.cmp.eq.i32 %a0, %a1 : i32
  %r1 = vm.cmp.ne.i32 %a0, %a1 : i32
  %r2 = vm.cmp.lt.i32.s %a0, %a1 : i32
  %r3 = vm.cmp.lt.i32.u %a0, %a1 : i32
  %r4 = vm.cmp.lte.i32.s %a0, %a1 : i32
  %r5 = vm.cmp.gt.i32.u %a0, %a1 : i32
  %r6 = vm.cmp.gte.i32.s %a0, %a1 : i32
  %r7 = vm.cmp.nz.i32 %a0 : i32
  %r8 = vm.cmp.eq.i64 %b0, %b1 : i64
  %r9 = vm.cmp.ne.i64 %b0, %b1 : i64
  %r10 = vm.cmp.lt.i64.s %b0, %b1 : i64
  %r11 = vm.cmp.lt.i64.u %b0, %b1 : i64
  %r12 = vm.cmp.lte.i64.s %b0, %b1 : i64
  %r13 = vm.cmp.gt.i64.u %b0, %b1 : i64
  %r14 = vm.cmp.gte.i64.s %b0, %b1 : i64
  %r15 = vm.cmp.nz.i64 %b0 : i64
  %quiet = vm.const.i32 2143289344
  %payload = vm.or.i32 %a0, %quiet : i32
  %nan = vm.bitcast.i32.f32 %payload : i32 -> f32
  %r16 = vm.cmp.eq.f32.o %c0, %c1 : f32
  %r17 = vm.cmp.eq.f32.u %c0, %c1 : f32
  %r18 = vm.cmp.ne.f32.o %c0, %c1 : f32
  %r19 = vm.cmp.ne.f32.u %c0, %c1 : f32
  %r20 = vm.cmp.lt.f32.o %c0, %c1 : f32
  %r21 = vm.cmp.lt.f32.u %c0, %c1 : f32
  %r22 = vm.cmp.lte.f32.o %c0, %c1 : f32
  %r23 = vm.cmp.lte.f32.u %c0, %c1 : f32
  %r24 = vm.cmp.eq.f32.o %c0, %nan : f32
  %r25 = vm.cmp.eq.f32.u %c0, %nan : f32
  %r26 = vm.cmp.ne.f32.o %c0, %nan : f32
  %r27 = vm.cmp.ne.f32.u %c0, %nan : f32
  %r28 = vm.cmp.lt.f32.o %c0, %nan : f32
  %r29 = vm.cmp.lt.f32.u %c0, %nan : f32
  %r30 = vm.cmp.lte.f32.o %c0, %nan : f32
  %r31 = vm.cmp.lte.f32.u %c0, %nan : f32
  %r32 = vm.cmp.nan.f32 %c0 : f32
  %r33 = vm.cmp.nan.f32 %nan : f32
  %r34 = vm.cmp.gt.f32.o %c0, %c1 : f32
  %r35 = vm.cmp.gte.f32.u %c0, %c1 : f32
  %r36 = vm.cmp.nz.f32.o %c0 : f32
  %out = tensor.from_elements %r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8, %r9, %r10, %r11, %r12, %r13, %r14, %r15, %r16, %r17, %r18, %r19, %r20, %r21, %r22, %r23, %r24, %r25, %r26, %r27, %r28, %r29, %r30, %r31, %r32, %r33, %r34, %r35, %r36 : tensor<37xi32>
  return %out : tensor<37xi32>
}
