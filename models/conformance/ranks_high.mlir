// SPDX-License-Identifier: Apache-2.0
// Covers: ranks 7 and 8
func.func @main(%x7: tensor<2x1x3x2x1x2x3xf32>, %x8: tensor<2x3x1x2x2x1x3x2xi32>) -> (tensor<2x1x3x2x1x2x3xf32>, tensor<2x3x1x2x2x1x3x2xi32>, tensor<3x2x1x2x1x2x3x2xi32>) {
  %y7 = stablehlo.add %x7, %x7 : tensor<2x1x3x2x1x2x3xf32>
  %y8 = stablehlo.multiply %x8, %x8 : tensor<2x3x1x2x2x1x3x2xi32>
  %t8 = stablehlo.transpose %x8, dims = [6, 3, 2, 0, 5, 4, 1, 7] : (tensor<2x3x1x2x2x1x3x2xi32>) -> tensor<3x2x1x2x1x2x3x2xi32>
  return %y7, %y8, %t8 : tensor<2x1x3x2x1x2x3xf32>, tensor<2x3x1x2x2x1x3x2xi32>, tensor<3x2x1x2x1x2x3x2xi32>
}
