// SPDX-License-Identifier: Apache-2.0
// Covers: internal calls with arguments and results of every kind, one inside the other
util.func private @square(%n: i32) -> i32 attributes {inlining_policy = #util.inline.never} {
  %r = arith.muli %n, %n : i32
  util.return %r : i32
}
util.func private @sum_of_squares(%n: i32, %m: i32) -> i32 attributes {inlining_policy = #util.inline.never} {
  %a = util.call @square(%n) : (i32) -> i32
  %b = util.call @square(%m) : (i32) -> i32
  %r = arith.addi %a, %b : i32
  util.return %r : i32
}
util.func private @mixed(%a: i32, %b: i64, %c: f32, %d: i32) -> (f32, i64, i32) attributes {inlining_policy = #util.inline.never} {
  %x = arith.extsi %a : i32 to i64
  %y = arith.addi %x, %b : i64
  %z = arith.sitofp %d : i32 to f32
  %w = arith.addf %z, %c : f32
  util.return %w, %y, %a : f32, i64, i32
}
util.func private @scale(%t: tensor<2xf32>, %by: f32) -> tensor<2xf32> attributes {inlining_policy = #util.inline.never} {
  %one = tensor.from_elements %by : tensor<f32>
  %s = stablehlo.broadcast_in_dim %one, dims = [] : (tensor<f32>) -> tensor<2xf32>
  %r = stablehlo.multiply %t, %s : tensor<2xf32>
  util.return %r : tensor<2xf32>
}
func.func @main(%a: tensor<1xi32>, %b: tensor<1xi64>, %c: tensor<2xf32>) -> (tensor<2xi32>, tensor<1xi64>, tensor<2xf32>) {
  %zero = arith.constant 0 : index
  %a0 = tensor.extract %a[%zero] : tensor<1xi32>
  %b0 = tensor.extract %b[%zero] : tensor<1xi64>
  %c0 = tensor.extract %c[%zero] : tensor<2xf32>
  %seven = arith.constant 7 : i32
  %n = arith.andi %a0, %seven : i32
  %f = util.call @sum_of_squares(%n, %seven) : (i32, i32) -> i32
  %m:3 = util.call @mixed(%a0, %b0, %c0, %n) : (i32, i64, f32, i32) -> (f32, i64, i32)
  %m2:3 = util.call @mixed(%m#2, %m#1, %m#0, %f) : (i32, i64, f32, i32) -> (f32, i64, i32)
  %s = util.call @scale(%c, %m2#0) : (tensor<2xf32>, f32) -> tensor<2xf32>
  %p = tensor.from_elements %f, %m2#2 : tensor<2xi32>
  %q = tensor.from_elements %m2#1 : tensor<1xi64>
  return %p, %q, %s : tensor<2xi32>, tensor<1xi64>, tensor<2xf32>
}
