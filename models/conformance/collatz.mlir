// SPDX-License-Identifier: Apache-2.0
// Covers: a loop whose number of iterations depends on the input: branches with remaps in the VM
func.func @main(%x: tensor<i32>) -> (tensor<i32>, tensor<i64>) {
  %given = tensor.extract %x[] : tensor<i32>
  %mask = arith.constant 63 : i32
  %one = arith.constant 1 : i32
  %two = arith.constant 2 : i32
  %three = arith.constant 3 : i32
  %zero = arith.constant 0 : i32
  %none = arith.constant 0 : i64
  %small = arith.andi %given, %mask : i32
  %first = arith.addi %small, %one : i32
  %end:3 = scf.while (%n = %first, %steps = %zero, %sum = %none) : (i32, i32, i64) -> (i32, i32, i64) {
    %go = arith.cmpi ne, %n, %one : i32
    scf.condition(%go) %n, %steps, %sum : i32, i32, i64
  } do {
  ^bb0(%n: i32, %steps: i32, %sum: i64):
    %bit = arith.andi %n, %one : i32
    %odd = arith.cmpi eq, %bit, %one : i32
    %next = scf.if %odd -> (i32) {
      %tripled = arith.muli %n, %three : i32
      %up = arith.addi %tripled, %one : i32
      scf.yield %up : i32
    } else {
      %down = arith.divui %n, %two : i32
      scf.yield %down : i32
    }
    %more = arith.addi %steps, %one : i32
    %wide = arith.extui %next : i32 to i64
    %total = arith.addi %sum, %wide : i64
    scf.yield %next, %more, %total : i32, i32, i64
  }
  %a = tensor.from_elements %end#1 : tensor<i32>
  %b = tensor.from_elements %end#2 : tensor<i64>
  return %a, %b : tensor<i32>, tensor<i64>
}
