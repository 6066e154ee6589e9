# SPDX-License-Identifier: Apache-2.0
# Renode runs this at each dot4: custom-3 (0x7b), funct3 5. Renode itself gives a CFU only custom-0 and two operands, so
# the accumulator is loaded first. `execute` is what CoSimulatedCFU calls for an instruction; it has no public name.
from System.Reflection import BindingFlags

LOAD, DOT4 = 0, 5
if "execute" not in globals():
    cfu = machine["sysbus.cpu.cfu0"]
    hidden = BindingFlags.NonPublic | BindingFlags.Instance
    execute = cfu.GetType().GetField("execute", hidden).GetValue(cfu)
    error = cfu.GetType().GetField("errorPointer", hidden).GetValue(cfu)

rd, rs1, rs2 = (int(instruction) >> place & 31 for place in (7, 15, 20))
execute(LOAD, cpu.GetRegister(rd).RawValue, 0, error)
result = execute(DOT4, cpu.GetRegister(rs1).RawValue, cpu.GetRegister(rs2).RawValue, error)
if rd:
    cpu.SetRegister(rd, result)
