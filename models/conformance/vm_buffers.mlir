// SPDX-License-Identifier: Apache-2.0
// Covers: VM instructions: buffers and comparisons of references, at unaligned places too
// A function of its own, where no tensors let the compiler change the order.
util.func private @work(%a0: i32, %a1: i32, %a2: i32, %a3: i32, %b0: i64, %b1: i64, %c0: f32, %c1: f32) -> (i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i64, i64, i64, i64, f32, f32, f32) attributes {inlining_policy = #util.inline.never} {
  %zero = vm.const.i64.zero
  %one = vm.const.i64 1
  %two = vm.const.i64 2
  %four = vm.const.i64 4
  %eight = vm.const.i64 8
  %bytes = vm.const.i64 64
  %align = vm.const.i32 16
  %buffer = vm.buffer.alloc %bytes, %align : !vm.buffer
  %five = vm.const.i64 5
  %seven = vm.const.i64 7
  %fourteen = vm.const.i64 14
  vm.buffer.fill.i8 %buffer, %one, %two, %a0 : i32 -> !vm.buffer
  vm.buffer.fill.i16 %buffer, %four, %two, %a1 : i32 -> !vm.buffer
  vm.buffer.fill.i32 %buffer, %four, %two, %a2 : i32 -> !vm.buffer
  vm.buffer.fill.i64 %buffer, %four, %one, %b0 : i64 -> !vm.buffer
  vm.buffer.fill.f32 %buffer, %four, %one, %c0 : f32 -> !vm.buffer
  vm.buffer.store.i8 %a3, %buffer[%zero] : i32 -> !vm.buffer
  vm.buffer.store.i16 %a3, %buffer[%five] : i32 -> !vm.buffer
  vm.buffer.store.i32 %a3, %buffer[%seven] : i32 -> !vm.buffer
  vm.buffer.store.i64 %b1, %buffer[%five] : i64 -> !vm.buffer
  vm.buffer.store.f32 %c1, %buffer[%fourteen] : f32 -> !vm.buffer
  %p0 = vm.buffer.load.i8.u %buffer[%one] : !vm.buffer -> i32
  %p1 = vm.buffer.load.i8.s %buffer[%two] : !vm.buffer -> i32
  %p2 = vm.buffer.load.i8.s %buffer[%zero] : !vm.buffer -> i32
  %p3 = vm.buffer.load.i16.u %buffer[%four] : !vm.buffer -> i32
  %p4 = vm.buffer.load.i16.s %buffer[%five] : !vm.buffer -> i32
  %p5 = vm.buffer.load.i32 %buffer[%seven] : !vm.buffer -> i32
  %p6 = vm.buffer.load.i32 %buffer[%four] : !vm.buffer -> i32
  %q0 = vm.buffer.load.i64 %buffer[%five] : !vm.buffer -> i64
  %q1 = vm.buffer.load.i64 %buffer[%four] : !vm.buffer -> i64
  %q2 = vm.buffer.length %buffer : !vm.buffer -> i64
  %r0 = vm.buffer.load.f32 %buffer[%fourteen] : !vm.buffer -> f32
  %r1 = vm.buffer.load.f32 %buffer[%four] : !vm.buffer -> f32
  %clone = vm.buffer.clone %buffer, %zero, %bytes, %align : !vm.buffer -> !vm.buffer
  %p7 = vm.buffer.compare %buffer, %zero, %clone, %zero, %bytes : !vm.buffer, !vm.buffer
  vm.buffer.store.i8 %p0, %clone[%four] : i32 -> !vm.buffer
  %p8 = vm.buffer.compare %buffer, %zero, %clone, %zero, %bytes : !vm.buffer, !vm.buffer
  vm.buffer.copy %buffer, %zero, %clone, %eight, %eight : !vm.buffer -> !vm.buffer
  %p9 = vm.buffer.compare %buffer, %zero, %clone, %eight, %eight : !vm.buffer, !vm.buffer
  %q3 = vm.buffer.load.i64 %clone[%one] : !vm.buffer -> i64
  %r2 = vm.buffer.load.f32 %clone[%zero] : !vm.buffer -> f32
  %null = vm.const.ref.zero : !vm.buffer
  %p10 = vm.cmp.eq.ref %buffer, %clone : !vm.buffer
  %p11 = vm.cmp.ne.ref %buffer, %clone : !vm.buffer
  %p12 = vm.cmp.nz.ref %buffer : !vm.buffer
  %p13 = vm.cmp.nz.ref %null : !vm.buffer
  %chosen = vm.select.ref %p2, %buffer, %clone : !vm.buffer
  %p14 = vm.buffer.load.i32 %chosen[%one] : !vm.buffer -> i32
  %switched = vm.switch.ref %p4[%clone, %buffer] else %clone : !vm.buffer
  %p15 = vm.buffer.load.i32 %switched[%four] : !vm.buffer -> i32
  util.return %p0, %p1, %p2, %p3, %p4, %p5, %p6, %p7, %p8, %p9, %p10, %p11, %p12, %p13, %p14, %p15, %q0, %q1, %q2, %q3, %r0, %r1, %r2 : i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i64, i64, i64, i64, f32, f32, f32
}
func.func @main(%a: tensor<4xi32>, %b: tensor<2xi64>, %c: tensor<2xf32>) -> (tensor<16xi32>, tensor<4xi64>, tensor<3xf32>) {
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
  %o:23 = util.call @work(%a0, %a1, %a2, %a3, %b0, %b1, %c0, %c1) : (i32, i32, i32, i32, i64, i64, f32, f32) -> (i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i64, i64, i64, i64, f32, f32, f32)
  %p = tensor.from_elements %o#0, %o#1, %o#2, %o#3, %o#4, %o#5, %o#6, %o#7, %o#8, %o#9, %o#10, %o#11, %o#12, %o#13, %o#14, %o#15 : tensor<16xi32>
  %q = tensor.from_elements %o#16, %o#17, %o#18, %o#19 : tensor<4xi64>
  %r = tensor.from_elements %o#20, %o#21, %o#22 : tensor<3xf32>
  return %p, %q, %r : tensor<16xi32>, tensor<4xi64>, tensor<3xf32>
}
