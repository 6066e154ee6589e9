// SPDX-License-Identifier: Apache-2.0
// Covers: chains of element-wise f32 operations; two inputs, three outputs, 37 elements
func.func @main(%x: tensor<37xf32>, %y: tensor<37xf32>) -> (tensor<37xf32>, tensor<37xf32>, tensor<37xf32>) {
  %ax = stablehlo.abs %x : tensor<37xf32>
  %ay = stablehlo.abs %y : tensor<37xf32>
  %half = stablehlo.constant dense<0.5> : tensor<37xf32>
  %px = stablehlo.add %ax, %half : tensor<37xf32>
  %log = stablehlo.log %px : tensor<37xf32>
  %sqrt = stablehlo.sqrt %px : tensor<37xf32>
  %rsqrt = stablehlo.rsqrt %px : tensor<37xf32>
  %scaled = stablehlo.multiply %x, %half : tensor<37xf32>
  %tanh = stablehlo.tanh %scaled : tensor<37xf32>
  %exp = stablehlo.exponential %tanh : tensor<37xf32>
  %m1 = stablehlo.multiply %log, %sqrt : tensor<37xf32>
  %m2 = stablehlo.subtract %m1, %rsqrt : tensor<37xf32>
  %a = stablehlo.add %m2, %exp : tensor<37xf32>
  %floor = stablehlo.floor %y : tensor<37xf32>
  %ceil = stablehlo.ceil %x : tensor<37xf32>
  %round = stablehlo.round_nearest_even %y : tensor<37xf32>
  %sign = stablehlo.sign %x : tensor<37xf32>
  %s1 = stablehlo.multiply %floor, %sign : tensor<37xf32>
  %s2 = stablehlo.maximum %s1, %ceil : tensor<37xf32>
  %b = stablehlo.minimum %s2, %round : tensor<37xf32>
  %neg = stablehlo.negate %ay : tensor<37xf32>
  %q = stablehlo.divide %neg, %px : tensor<37xf32>
  %l1p = stablehlo.log_plus_one %px : tensor<37xf32>
  %c = stablehlo.power %l1p, %half : tensor<37xf32>
  %d = stablehlo.add %c, %q : tensor<37xf32>
  return %a, %b, %d : tensor<37xf32>, tensor<37xf32>, tensor<37xf32>
}
