// SPDX-License-Identifier: Apache-2.0
@core@/RvvCoreMiniAxi.sv
@core@/tracker.sv
