// SPDX-License-Identifier: Apache-2.0
// Covers: VM instructions: conversions between i8, i16, i32, i64 and f32; outputs of three types
func.func @main(%a: tensor<1xi32>, %b: tensor<1xi64>, %c: tensor<1xf32>) -> (tensor<10xi32>, tensor<2xi64>, tensor<3xf32>) {
  %i0 = arith.constant 0 : index
  %a0 = tensor.extract %a[%i0] : tensor<1xi32>
  %b0 = tensor.extract %b[%i0] : tensor<1xi64>
  %c0 = tensor.extract %c[%i0] : tensor<1xf32>
  %r0 = vm.trunc.i64.i32 %b0 : i64 -> i32
  %t8 = vm.trunc.i32.i8 %a0 : i32 -> i32
  %r2 = vm.ext.i8.i32.s %a0 : i32 -> i32
  %r3 = vm.ext.i8.i32.u %a0 : i32 -> i32
  %t16 = vm.trunc.i32.i16 %a0 : i32 -> i32
  %r5 = vm.ext.i16.i32.s %a0 : i32 -> i32
  %r6 = vm.ext.i16.i32.u %a0 : i32 -> i32
  %limit = vm.const.f32 1000000.0
  %least = vm.const.f32 -1000000.0
  %zero = vm.const.f32.zero
  %top = vm.min.f32 %c0, %limit : f32
  %signed = vm.max.f32 %top, %least : f32
  %unsigned = vm.max.f32 %top, %zero : f32
  %r7 = vm.cast.f32.si32 %signed : f32 -> i32
  %r8 = vm.cast.f32.ui32 %unsigned : f32 -> i32
  %r9 = vm.bitcast.f32.i32 %c0 : f32 -> i32
  %w0 = vm.ext.i32.i64.s %a0 : i32 -> i64
  %w1 = vm.ext.i32.i64.u %a0 : i32 -> i64
  %mantissa = vm.const.i32 8388607
  %one = vm.const.i32 1065353216
  %fraction = vm.and.i32 %a0, %mantissa : i32
  %bits = vm.or.i32 %fraction, %one : i32
  %f0 = vm.cast.si32.f32 %a0 : i32 -> f32
  %f1 = vm.cast.ui32.f32 %a0 : i32 -> f32
  %f2 = vm.bitcast.i32.f32 %bits : i32 -> f32
  %p = tensor.from_elements %r0, %t8, %r2, %r3, %t16, %r5, %r6, %r7, %r8, %r9 : tensor<10xi32>
  %q = tensor.from_elements %w0, %w1 : tensor<2xi64>
  %r = tensor.from_elements %f0, %f1, %f2 : tensor<3xf32>
  return %p, %q, %r : tensor<10xi32>, tensor<2xi64>, tensor<3xf32>
}
