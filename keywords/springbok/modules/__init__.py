# SPDX-License-Identifier: Apache-2.0
"""What a compiled module is: reader of VMFB files, disassembler, references in its bytecode, names of its layers."""
