// SPDX-License-Identifier: Apache-2.0
// Covers: kernels on i64: products, sums, minimum, comparison and selection
func.func @main(%a: tensor<11xi64>, %b: tensor<11xi64>) -> (tensor<11xi64>, tensor<11xi64>) {
  %p = stablehlo.multiply %a, %b : tensor<11xi64>
  %s = stablehlo.add %p, %a : tensor<11xi64>
  %m = stablehlo.minimum %s, %b : tensor<11xi64>
  %g = stablehlo.compare GE, %a, %b : (tensor<11xi64>, tensor<11xi64>) -> tensor<11xi1>
  %r = stablehlo.select %g, %s, %b : tensor<11xi1>, tensor<11xi64>
  return %m, %r : tensor<11xi64>, tensor<11xi64>
}
