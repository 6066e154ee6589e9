// SPDX-License-Identifier: Apache-2.0
// Covers: a loop that ends when a computed value is small enough, the condition read back from a kernel
func.func @main(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<i32>) {
  %start = stablehlo.constant dense<0> : tensor<i32>
  %limit = stablehlo.constant dense<1.0> : tensor<f32>
  %half = stablehlo.constant dense<0.5> : tensor<8xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %r:2 = stablehlo.while(%v = %x, %n = %start) : tensor<8xf32>, tensor<i32>
  cond {
    %a = stablehlo.abs %v : tensor<8xf32>
    %m = stablehlo.reduce(%a init: %zero) applies stablehlo.maximum across dimensions = [0] : (tensor<8xf32>, tensor<f32>) -> tensor<f32>
    %go = stablehlo.compare GT, %m, %limit : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %go : tensor<i1>
  } do {
    %next = stablehlo.multiply %v, %half : tensor<8xf32>
    %more = stablehlo.add %n, %one : tensor<i32>
    stablehlo.return %next, %more : tensor<8xf32>, tensor<i32>
  }
  return %r#0, %r#1 : tensor<8xf32>, tensor<i32>
}
