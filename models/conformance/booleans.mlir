// SPDX-License-Identifier: Apache-2.0
// Covers: bool inputs and outputs: logic, comparison, selection
func.func @main(%p: tensor<23xi1>, %q: tensor<23xi1>, %x: tensor<23xi32>) -> (tensor<23xi1>, tensor<23xi32>, tensor<i1>) {
  %a = stablehlo.and %p, %q : tensor<23xi1>
  %o = stablehlo.or %p, %q : tensor<23xi1>
  %n = stablehlo.not %a : tensor<23xi1>
  %y = stablehlo.xor %n, %o : tensor<23xi1>
  %zero = stablehlo.constant dense<0> : tensor<23xi32>
  %s = stablehlo.select %o, %x, %zero : tensor<23xi1>, tensor<23xi32>
  %g = stablehlo.compare GE, %x, %zero : (tensor<23xi32>, tensor<23xi32>) -> tensor<23xi1>
  %r_init = stablehlo.constant dense<true> : tensor<i1>
  %r = stablehlo.reduce(%g init: %r_init) applies stablehlo.and across dimensions = [0] : (tensor<23xi1>, tensor<i1>) -> tensor<i1>
  return %y, %s, %r : tensor<23xi1>, tensor<23xi32>, tensor<i1>
}
