+define+RVFI
+define+SYNTHESIS
+incdir+@pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim/rtl
+incdir+@pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/dv/sv/dv_utils
+incdir+@pythondata_cpu_ibex@/system_verilog/rtl
@pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim/rtl/prim_secded_pkg.sv
@pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim/rtl/prim_util_pkg.sv
@pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim/rtl/prim_ram_1p_pkg.sv
@pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim/rtl/prim_mubi_pkg.sv
@pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim/rtl/prim_cipher_pkg.sv
@pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim/rtl/prim_count_pkg.sv
@pythondata_cpu_ibex@/system_verilog/rtl/ibex_pkg.sv
@core@/prim.sv
-y @pythondata_cpu_ibex@/system_verilog/rtl
-y @pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim/rtl
-y @pythondata_cpu_ibex@/system_verilog/vendor/lowrisc_ip/ip/prim_generic/rtl
