// SPDX-License-Identifier: Apache-2.0
@pythondata_cpu_vexriscv@/verilog/VexRiscv_Full.v
