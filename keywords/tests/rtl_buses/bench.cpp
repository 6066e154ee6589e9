// SPDX-License-Identifier: Apache-2.0
// Random traffic through each bus adapter, against a memory with random stalls, late answers and errors: what
// was written is what is read, and an error reaches the master that it belongs to. bench SEED CYCLES
#include "Vbench.h"
#include "verilated.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>

static uint64_t state;

static uint32_t random_below(uint32_t limit) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return uint32_t(state >> 33) % limit;
}

constexpr uint32_t WORDS = 64;

struct Slave { // an OBI memory; words from 48 on answer with errors
    uint32_t words[WORDS] = {};
    struct Response {
        int wait;
        uint32_t data;
        bool error;
    };
    std::deque<Response> responses;
    bool granted = false;

    template <class A, class B, class C, class D> void drive(A &gnt, B &rvalid, C &rdata, D &err) {
        gnt = granted = random_below(3) != 0;
        rvalid = !responses.empty() && responses.front().wait-- <= 0;
        rdata = rvalid ? responses.front().data : random_below(~0u);
        err = rvalid && responses.front().error;
        if (rvalid) responses.pop_front();
    }
    void take(bool req, bool we, uint32_t be, uint32_t addr, uint32_t wdata) {
        if (!req || !granted) return;
        uint32_t word = addr / 4 % WORDS;
        bool error = word >= 48;
        if (we && !error)
            for (int i = 0; i < 4; i++)
                if (be >> i & 1)
                    memcpy(reinterpret_cast<char *>(&words[word]) + i, reinterpret_cast<char *>(&wdata) + i,
                           1);
        responses.push_back({int(random_below(4)), error ? 0xBAD : words[word], error});
    }
};

struct Master { // what it knows of the memory, and what it waits for
    uint32_t expected[WORDS] = {};
    bool busy = false, is_write = false, request_done = false, data_done = false;
    uint32_t address = 0, data = 0, strobe = 15, id = 0, length = 0, burst = 1, beat = 0, size = 2,
             beat_data[16] = {};
    uint64_t done = 0;
    const char *name;
    explicit Master(const char *n) : name(n) {}

    uint32_t word() const {
        return address / 4 % WORDS;
    }
    void begin(uint32_t longest) {
        if (busy || random_below(2)) return;
        busy = true, request_done = data_done = false, beat = 0;
        is_write = random_below(2), address = random_below(WORDS) * 4, strobe = 1 + random_below(15),
        id = random_below(16);
        burst = longest ? random_below(3) : 1;
        length = longest ? random_below(longest) : 0;
        if (burst == 2) length = (2u << random_below(4)) - 1; // a wrapping burst has 2, 4, 8 or 16 beats
        for (uint32_t &each : beat_data)
            each = random_below(~0u);
        data = beat_data[0];
    }
    uint32_t beat_word(uint32_t number) const {
        if (burst == 0) return word();
        if (burst == 1) return (word() + number) % WORDS;
        uint32_t block = length + 1;
        return (word() & ~(block - 1)) | ((word() + number) & (block - 1));
    }
    static bool fails(uint32_t place) {
        return place >= 48;
    }
    void write(uint32_t place, uint32_t value) {
        if (fails(place)) return;
        for (int i = 0; i < 4; i++)
            if (strobe >> i & 1)
                memcpy(reinterpret_cast<char *>(&expected[place]) + i, reinterpret_cast<char *>(&value) + i,
                       1);
    }
    void check(bool ok, const char *what, uint32_t got = 0, uint32_t wanted = 0) const {
        if (ok) return;
        printf("%s: %s after %llu transfers: expected 0x%x, got 0x%x\n", name, what, (unsigned long long)done,
               wanted, got);
        exit(1);
    }
};

int main(int argc, char **argv) {
    state = strtoull(argc > 1 ? argv[1] : "1", nullptr, 0) * 0x9E3779B97F4A7C15u + 1;
    uint64_t cycles = strtoull(argc > 2 ? argv[2] : "20000", nullptr, 0);
    auto context = std::make_unique<VerilatedContext>();
    auto b = std::make_unique<Vbench>(context.get());
    Slave wb, lite, axi, tl;
    Master wm("wishbone"), lm("axi4-lite"), am("axi4"), tm("tilelink-ul");
    b->rst_n = 0;
    for (int i = 0; i < 4; i++)
        b->clk = 0, b->eval(), b->clk = 1, b->eval();
    b->rst_n = 1;
    for (uint64_t cycle = 0; cycle < cycles; cycle++) {
        wb.drive(b->wb_gnt, b->wb_rvalid, b->wb_rdata, b->wb_err);
        lite.drive(b->lite_gnt, b->lite_rvalid, b->lite_rdata, b->lite_err);
        axi.drive(b->axi_gnt, b->axi_rvalid, b->axi_rdata, b->axi_err);
        tl.drive(b->tl_gnt, b->tl_rvalid, b->tl_rdata, b->tl_err);

        wm.begin(0);
        b->wb_wb_cyc = b->wb_wb_stb = wm.busy;
        b->wb_wb_we = wm.is_write, b->wb_wb_adr = wm.address, b->wb_wb_sel = wm.is_write ? wm.strobe : 15;
        b->wb_wb_dat_w = wm.data;

        lm.begin(0);
        b->lite_aw_valid = lm.busy && lm.is_write && !lm.request_done, b->lite_aw_addr = lm.address;
        b->lite_w_valid = lm.busy && lm.is_write && !lm.data_done && random_below(2);
        b->lite_w_data = lm.data, b->lite_w_strb = lm.strobe;
        b->lite_ar_valid = lm.busy && !lm.is_write && !lm.request_done, b->lite_ar_addr = lm.address;
        b->lite_b_ready = random_below(2), b->lite_r_ready = random_below(2);

        am.begin(16);
        b->axi_aw_valid = am.busy && am.is_write && !am.request_done,
        b->axi_ar_valid = am.busy && !am.is_write && !am.request_done;
        b->axi_aw_addr = b->axi_ar_addr = am.address, b->axi_aw_len = b->axi_ar_len = am.length;
        b->axi_aw_size = b->axi_ar_size = am.size, b->axi_aw_burst = b->axi_ar_burst = am.burst,
        b->axi_aw_id = b->axi_ar_id = am.id;
        b->axi_w_valid = am.busy && am.is_write && !am.data_done && random_below(2);
        b->axi_w_data = am.beat_data[am.beat % 16], b->axi_w_strb = am.strobe,
        b->axi_w_last = am.beat == am.length;
        b->axi_b_ready = random_below(2), b->axi_r_ready = random_below(2);

        tm.begin(0);
        b->tl_a_valid = tm.busy && !tm.request_done;
        b->tl_a_opcode = tm.is_write ? (tm.strobe == 15 ? 0 : 1) : 4, b->tl_a_size = 2,
        b->tl_a_source = tm.id;
        b->tl_a_address = tm.address, b->tl_a_mask = tm.is_write ? tm.strobe : 15, b->tl_a_data = tm.data;
        b->tl_d_ready = random_below(2);

        b->clk = 0;
        b->eval();
        wb.take(b->wb_req, b->wb_we, b->wb_be, b->wb_addr, b->wb_wdata);
        lite.take(b->lite_req, b->lite_we, b->lite_be, b->lite_addr, b->lite_wdata);
        axi.take(b->axi_req, b->axi_we, b->axi_be, b->axi_addr, b->axi_wdata);
        tl.take(b->tl_req, b->tl_we, b->tl_be, b->tl_addr, b->tl_wdata);

        if (b->wb_wb_ack || b->wb_wb_err) {
            wm.check(wm.busy, "an answer that nobody asked for");
            wm.check(b->wb_wb_err == Master::fails(wm.word()), "error", b->wb_wb_err,
                     Master::fails(wm.word()));
            if (!wm.is_write && !b->wb_wb_err)
                wm.check(b->wb_wb_dat_r == wm.expected[wm.word()], "data", b->wb_wb_dat_r,
                         wm.expected[wm.word()]);
            if (wm.is_write) wm.write(wm.word(), wm.data);
            wm.busy = false, wm.done++;
        }
        if (b->lite_aw_valid && b->lite_aw_ready) lm.request_done = true;
        if (b->lite_ar_valid && b->lite_ar_ready) lm.request_done = true;
        if (b->lite_w_valid && b->lite_w_ready) lm.data_done = true;
        if ((b->lite_b_valid && b->lite_b_ready) || (b->lite_r_valid && b->lite_r_ready)) {
            bool error = (b->lite_b_valid ? b->lite_b_resp : b->lite_r_resp) != 0;
            lm.check(lm.busy && lm.is_write == b->lite_b_valid, "an answer that nobody asked for");
            lm.check(error == Master::fails(lm.word()), "error", error, Master::fails(lm.word()));
            if (!lm.is_write && !error)
                lm.check(b->lite_r_data == lm.expected[lm.word()], "data", b->lite_r_data,
                         lm.expected[lm.word()]);
            if (lm.is_write) lm.write(lm.word(), lm.data);
            lm.busy = false, lm.done++;
        }
        if ((b->axi_aw_valid && b->axi_aw_ready) || (b->axi_ar_valid && b->axi_ar_ready))
            am.request_done = true;
        if (b->axi_w_valid && b->axi_w_ready) {
            am.write(am.beat_word(am.beat), am.beat_data[am.beat % 16]);
            am.data_done = am.beat == am.length;
            am.beat++;
        }
        if (b->axi_r_valid && b->axi_r_ready) {
            uint32_t place = am.beat_word(am.beat);
            am.check(am.busy && !am.is_write && b->axi_r_id == am.id, "an answer that nobody asked for");
            am.check((b->axi_r_resp != 0) == Master::fails(place), "error of a beat", b->axi_r_resp != 0,
                     Master::fails(place));
            if (!b->axi_r_resp)
                am.check(b->axi_r_data == am.expected[place], "data", b->axi_r_data, am.expected[place]);
            am.check(b->axi_r_last == (am.beat == am.length), "last", b->axi_r_last, am.beat == am.length);
            am.done++;
            if (am.beat++ == am.length) am.busy = false;
        }
        if (b->axi_b_valid && b->axi_b_ready) {
            bool error = false;
            for (uint32_t i = 0; i <= am.length; i++)
                error |= Master::fails(am.beat_word(i));
            am.check(am.busy && am.is_write && am.data_done && b->axi_b_id == am.id,
                     "an answer that nobody asked for");
            am.check((b->axi_b_resp != 0) == error, "error of a burst", b->axi_b_resp != 0, error);
            am.busy = false, am.done++;
        }
        if (b->tl_a_valid && b->tl_a_ready) tm.request_done = true;
        if (b->tl_d_valid && b->tl_d_ready) {
            tm.check(tm.busy && b->tl_d_source == tm.id && b->tl_d_opcode == (tm.is_write ? 0 : 1),
                     "an answer that nobody asked for");
            tm.check(b->tl_d_denied == Master::fails(tm.word()), "denied", b->tl_d_denied,
                     Master::fails(tm.word()));
            if (!tm.is_write && !b->tl_d_denied)
                tm.check(b->tl_d_data == tm.expected[tm.word()], "data", b->tl_d_data,
                         tm.expected[tm.word()]);
            if (tm.is_write) tm.write(tm.word(), tm.data);
            tm.busy = false, tm.done++;
        }
        b->clk = 1;
        b->eval();
    }
    for (const Master *each : {&wm, &lm, &am, &tm}) {
        each->check(each->done > cycles / 100, "too few transfers", uint32_t(each->done),
                    uint32_t(cycles / 100));
        printf("%s %llu\n", each->name, (unsigned long long)each->done);
    }
    return 0;
}
