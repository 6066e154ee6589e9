// SPDX-License-Identifier: Apache-2.0
// Covers: arithmetic of i8, i16, i32: division, maximum, logic; three inputs and outputs
func.func @main(%a: tensor<19xi8>, %b: tensor<19xi16>, %c: tensor<19xi32>) -> (tensor<19xi8>, tensor<19xi16>, tensor<19xi32>) {
  %ak = stablehlo.constant dense<7> : tensor<19xi8>
  %a1 = stablehlo.multiply %a, %ak : tensor<19xi8>
  %a2 = stablehlo.subtract %a1, %ak : tensor<19xi8>
  %a3 = stablehlo.divide %a2, %ak : tensor<19xi8>
  %a4 = stablehlo.maximum %a3, %a : tensor<19xi8>
  %a5 = stablehlo.xor %a4, %a1 : tensor<19xi8>
  %bk = stablehlo.constant dense<7> : tensor<19xi16>
  %b1 = stablehlo.multiply %b, %bk : tensor<19xi16>
  %b2 = stablehlo.subtract %b1, %bk : tensor<19xi16>
  %b3 = stablehlo.divide %b2, %bk : tensor<19xi16>
  %b4 = stablehlo.maximum %b3, %b : tensor<19xi16>
  %b5 = stablehlo.xor %b4, %b1 : tensor<19xi16>
  %ck = stablehlo.constant dense<7> : tensor<19xi32>
  %c1 = stablehlo.multiply %c, %ck : tensor<19xi32>
  %c2 = stablehlo.subtract %c1, %ck : tensor<19xi32>
  %c3 = stablehlo.divide %c2, %ck : tensor<19xi32>
  %c4 = stablehlo.maximum %c3, %c : tensor<19xi32>
  %c5 = stablehlo.xor %c4, %c1 : tensor<19xi32>
  return %a5, %b5, %c5 : tensor<19xi8>, tensor<19xi16>, tensor<19xi32>
}
