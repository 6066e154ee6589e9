// SPDX-License-Identifier: Apache-2.0
// Covers: VM instructions: lists of i32, i64, f32 and of references
// A function of its own, where no tensors let the compiler change the order.
util.func private @work(%a0: i32, %a1: i32, %a2: i32, %a3: i32, %b0: i64, %b1: i64, %c0: f32, %c1: f32) -> (i32, i32, i32, i32, i32, i32, i64, i64, f32, f32) attributes {inlining_policy = #util.inline.never} {
  %zero = vm.const.i32.zero
  %one = vm.const.i32 1
  %two = vm.const.i32 2
  %five = vm.const.i32 5
  %ints = vm.list.alloc %two : (i32) -> !vm.list<i32>
  vm.list.reserve %ints, %five : (!vm.list<i32>, i32)
  vm.list.resize %ints, %five : (!vm.list<i32>, i32)
  vm.list.set.i32 %ints, %zero, %a0 : (!vm.list<i32>, i32, i32)
  vm.list.set.i32 %ints, %two, %a1 : (!vm.list<i32>, i32, i32)
  %size = vm.list.size %ints : (!vm.list<i32>) -> i32
  %p1 = vm.list.get.i32 %ints, %zero : (!vm.list<i32>, i32) -> i32
  %p2 = vm.list.get.i32 %ints, %one : (!vm.list<i32>, i32) -> i32
  %p3 = vm.list.get.i32 %ints, %two : (!vm.list<i32>, i32) -> i32
  %longs = vm.list.alloc %two : (i32) -> !vm.list<i64>
  vm.list.resize %longs, %two : (!vm.list<i64>, i32)
  vm.list.set.i64 %longs, %one, %b0 : (!vm.list<i64>, i32, i64)
  %q0 = vm.list.get.i64 %longs, %one : (!vm.list<i64>, i32) -> i64
  %q1 = vm.list.get.i64 %longs, %zero : (!vm.list<i64>, i32) -> i64
  %floats = vm.list.alloc %two : (i32) -> !vm.list<f32>
  vm.list.resize %floats, %two : (!vm.list<f32>, i32)
  vm.list.set.f32 %floats, %zero, %c0 : (!vm.list<f32>, i32, f32)
  vm.list.set.f32 %floats, %one, %c1 : (!vm.list<f32>, i32, f32)
  %r0 = vm.list.get.f32 %floats, %one : (!vm.list<f32>, i32) -> f32
  %r1 = vm.list.get.f32 %floats, %zero : (!vm.list<f32>, i32) -> f32
  %lists = vm.list.alloc %one : (i32) -> !vm.list<?>
  vm.list.resize %lists, %two : (!vm.list<?>, i32)
  vm.list.set.ref %lists, %one, %ints : (!vm.list<?>, i32, !vm.list<i32>)
  %same = vm.list.get.ref %lists, %one : (!vm.list<?>, i32) -> !vm.list<i32>
  %p4 = vm.list.get.i32 %same, %two : (!vm.list<i32>, i32) -> i32
  vm.list.set.ref %lists, %zero, %same : (!vm.list<?>, i32, !vm.list<i32>)
  vm.list.resize %lists, %one : (!vm.list<?>, i32)
  %p5 = vm.list.size %lists : (!vm.list<?>) -> i32
  util.return %size, %p1, %p2, %p3, %p4, %p5, %q0, %q1, %r0, %r1 : i32, i32, i32, i32, i32, i32, i64, i64, f32, f32
}
func.func @main(%a: tensor<4xi32>, %b: tensor<2xi64>, %c: tensor<2xf32>) -> (tensor<6xi32>, tensor<2xi64>, tensor<2xf32>) {
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
  %o:10 = util.call @work(%a0, %a1, %a2, %a3, %b0, %b1, %c0, %c1) : (i32, i32, i32, i32, i64, i64, f32, f32) -> (i32, i32, i32, i32, i32, i32, i64, i64, f32, f32)
  %p = tensor.from_elements %o#0, %o#1, %o#2, %o#3, %o#4, %o#5 : tensor<6xi32>
  %q = tensor.from_elements %o#6, %o#7 : tensor<2xi64>
  %r = tensor.from_elements %o#8, %o#9 : tensor<2xf32>
  return %p, %q, %r : tensor<6xi32>, tensor<2xi64>, tensor<2xf32>
}
