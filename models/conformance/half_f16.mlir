// SPDX-License-Identifier: Apache-2.0
// Covers: f16 inputs and outputs, computed in f32
func.func @main(%a: tensor<21xf16>, %b: tensor<21xf16>) -> tensor<21xf16> {
  %x = stablehlo.convert %a : (tensor<21xf16>) -> tensor<21xf32>
  %y = stablehlo.convert %b : (tensor<21xf16>) -> tensor<21xf32>
  %m = stablehlo.multiply %x, %y : tensor<21xf32>
  %s = stablehlo.add %m, %x : tensor<21xf32>
  %r = stablehlo.convert %s : (tensor<21xf32>) -> tensor<21xf16>
  return %r : tensor<21xf16>
}
