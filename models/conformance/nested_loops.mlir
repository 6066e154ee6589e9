// SPDX-License-Identifier: Apache-2.0
// Covers: nested loops with bounds from the input around a dispatch
func.func @main(%x: tensor<2xi32>, %v: tensor<8xf32>) -> tensor<8xf32> {
  %i0 = arith.constant 0 : index
  %i1 = arith.constant 1 : index
  %three = arith.constant 3 : i32
  %a = tensor.extract %x[%i0] : tensor<2xi32>
  %b = tensor.extract %x[%i1] : tensor<2xi32>
  %am = arith.andi %a, %three : i32
  %bm = arith.andi %b, %three : i32
  %rows = arith.index_cast %am : i32 to index
  %columns = arith.index_cast %bm : i32 to index
  %r = scf.for %i = %i0 to %rows step %i1 iter_args(%outer = %v) -> (tensor<8xf32>) {
    %s = scf.for %j = %i0 to %columns step %i1 iter_args(%inner = %outer) -> (tensor<8xf32>) {
      %sum = stablehlo.add %inner, %v : tensor<8xf32>
      scf.yield %sum : tensor<8xf32>
    }
    %half = stablehlo.constant dense<0.5> : tensor<8xf32>
    %scaled = stablehlo.multiply %s, %half : tensor<8xf32>
    scf.yield %scaled : tensor<8xf32>
  }
  return %r : tensor<8xf32>
}
