// SPDX-License-Identifier: Apache-2.0
// Covers: a condition from the input that chooses between dispatches
func.func @main(%x: tensor<i32>, %v: tensor<8xf32>) -> tensor<8xf32> {
  %given = tensor.extract %x[] : tensor<i32>
  %zero = arith.constant 0 : i32
  %below = arith.cmpi slt, %given, %zero : i32
  %r = scf.if %below -> (tensor<8xf32>) {
    %a = stablehlo.negate %v : tensor<8xf32>
    scf.yield %a : tensor<8xf32>
  } else {
    %one = arith.constant 1 : i32
    %bit = arith.andi %given, %one : i32
    %odd = arith.cmpi ne, %bit, %zero : i32
    %b = scf.if %odd -> (tensor<8xf32>) {
      %c = stablehlo.multiply %v, %v : tensor<8xf32>
      scf.yield %c : tensor<8xf32>
    } else {
      scf.yield %v : tensor<8xf32>
    }
    scf.yield %b : tensor<8xf32>
  }
  return %r : tensor<8xf32>
}
