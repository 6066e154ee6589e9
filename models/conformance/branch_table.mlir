// SPDX-License-Identifier: Apache-2.0
// Covers: the branch table of the VM, with operands
func.func @main(%x: tensor<i32>) -> tensor<2xi32> {
  %given = tensor.extract %x[] : tensor<i32>
  %seven = arith.constant 7 : i32
  %hundred = arith.constant 100 : i32
  %case = arith.andi %given, %seven : i32
  cf.switch %case : i32, [
    default: ^last(%given, %seven : i32, i32),
    0: ^sum(%given : i32),
    1: ^product(%case, %given : i32, i32),
    2: ^sum(%hundred : i32),
    3: ^last(%seven, %given : i32, i32)
  ]
^sum(%a: i32):
  %s = arith.addi %a, %hundred : i32
  cf.br ^last(%s, %a : i32, i32)
^product(%b: i32, %c: i32):
  %p = arith.muli %b, %c : i32
  cf.br ^last(%p, %b : i32, i32)
^last(%d: i32, %e: i32):
  %r = tensor.from_elements %d, %e : tensor<2xi32>
  return %r : tensor<2xi32>
}
