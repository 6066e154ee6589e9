// SPDX-License-Identifier: Apache-2.0
// Covers: conversions between element types inside kernels: i8, i16, i32, f32
func.func @main(%a: tensor<17xi8>, %b: tensor<17xi32>, %c: tensor<17xf32>) -> (tensor<17xf32>, tensor<17xi16>, tensor<17xi32>, tensor<17xi8>) {
  %af = stablehlo.convert %a : (tensor<17xi8>) -> tensor<17xf32>
  %bs = stablehlo.convert %b : (tensor<17xi32>) -> tensor<17xi16>
  %lo = stablehlo.constant dense<-1.0e6> : tensor<f32>
  %hi = stablehlo.constant dense<1.0e6> : tensor<f32>
  %cc = stablehlo.clamp %lo, %c, %hi : (tensor<f32>, tensor<17xf32>, tensor<f32>) -> tensor<17xf32>
  %ci = stablehlo.convert %cc : (tensor<17xf32>) -> tensor<17xi32>
  %bb = stablehlo.convert %b : (tensor<17xi32>) -> tensor<17xi8>
  return %af, %bs, %ci, %bb : tensor<17xf32>, tensor<17xi16>, tensor<17xi32>, tensor<17xi8>
}
