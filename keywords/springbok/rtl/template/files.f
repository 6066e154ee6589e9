// What Verilator reads beside the wrapper: files, +incdir+, +define+, -y. @core@ is this folder, @package@ the folder of
// a Python package of that name.
