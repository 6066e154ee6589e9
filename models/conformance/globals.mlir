// SPDX-License-Identifier: Apache-2.0
// Covers: module globals of i32, i64, f32 and tensors, changed by functions
util.global private mutable @count = 3 : i32
util.global private mutable @long = 5 : i64
util.global private mutable @float = 1.5 : f32
util.global private mutable @state = dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
util.func private @remember(%a: i32, %b: i64, %c: f32) attributes {inlining_policy = #util.inline.never} {
  util.global.store %a, @count : i32
  util.global.store %b, @long : i64
  util.global.store %c, @float : f32
  util.return
}
util.func private @advance() attributes {inlining_policy = #util.inline.never} {
  %a = util.global.load @count : i32
  %b = util.global.load @long : i64
  %c = util.global.load @float : f32
  %one = arith.constant 1 : i32
  %two = arith.constant 2 : i64
  %half = arith.constant 0.5 : f32
  %a1 = arith.addi %a, %one : i32
  %b2 = arith.muli %b, %two : i64
  %c3 = arith.mulf %c, %half : f32
  util.call @remember(%a1, %b2, %c3) : (i32, i64, f32) -> ()
  util.return
}
// A function of its own, where no tensors let the compiler change the order.
util.func private @work(%a: i32, %b: i64, %c: f32) -> (i32, i64, f32) attributes {inlining_policy = #util.inline.never} {
  util.call @remember(%a, %b, %c) : (i32, i64, f32) -> ()
  util.call @advance() : () -> ()
  util.call @advance() : () -> ()
  %r = util.global.load @count : i32
  %s = util.global.load @long : i64
  %t = util.global.load @float : f32
  util.return %r, %s, %t : i32, i64, f32
}
func.func @main(%x: tensor<4xf32>, %y: tensor<i64>) -> (tensor<4xf32>, tensor<1xi32>, tensor<1xi64>, tensor<1xf32>) {
  %zero = arith.constant 0 : index
  %x0 = tensor.extract %x[%zero] : tensor<4xf32>
  %y0 = tensor.extract %y[] : tensor<i64>
  %count = arith.trunci %y0 : i64 to i32
  %last:3 = util.call @work(%count, %y0, %x0) : (i32, i64, f32) -> (i32, i64, f32)
  util.global.store %x, @state : tensor<4xf32>
  %s = util.global.load @state : tensor<4xf32>
  %t = stablehlo.add %s, %x : tensor<4xf32>
  util.global.store %t, @state : tensor<4xf32>
  %u = util.global.load @state : tensor<4xf32>
  %v = stablehlo.multiply %u, %x : tensor<4xf32>
  %p = tensor.from_elements %last#0 : tensor<1xi32>
  %q = tensor.from_elements %last#1 : tensor<1xi64>
  %r = tensor.from_elements %last#2 : tensor<1xf32>
  return %v, %p, %q, %r : tensor<4xf32>, tensor<1xi32>, tensor<1xi64>, tensor<1xf32>
}
