// SPDX-License-Identifier: Apache-2.0
// Covers: operations that only move data: concatenation, slices, padding, transposition, reversal
func.func @main(%x: tensor<4x6xf32>, %y: tensor<4x3xf32>) -> (tensor<9x4xf32>, tensor<6x8xf32>, tensor<2x3xf32>) {
  %c = stablehlo.concatenate %x, %y, dim = 1 : (tensor<4x6xf32>, tensor<4x3xf32>) -> tensor<4x9xf32>
  %t = stablehlo.transpose %c, dims = [1, 0] : (tensor<4x9xf32>) -> tensor<9x4xf32>
  %r = stablehlo.reverse %t, dims = [0] : tensor<9x4xf32>
  %v = stablehlo.constant dense<-1.5> : tensor<f32>
  %p = stablehlo.pad %x, %v, low = [1, 2], high = [1, 0], interior = [0, 0] : (tensor<4x6xf32>, tensor<f32>) -> tensor<6x8xf32>
  %s = stablehlo.slice %x [0:4:2, 1:6:2] : (tensor<4x6xf32>) -> tensor<2x3xf32>
  return %r, %p, %s : tensor<9x4xf32>, tensor<6x8xf32>, tensor<2x3xf32>
}
