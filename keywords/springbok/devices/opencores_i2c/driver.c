// SPDX-License-Identifier: Apache-2.0
// OpenCores' I2C controller. Its registers are bytes.
#include "devices.h"

enum {
    I2C_PRESCALE_LOW = 0x00,
    I2C_PRESCALE_HIGH = 0x04,
    I2C_CONTROL = 0x08,
    I2C_DATA = 0x0C,
    I2C_COMMAND = 0x10,
    I2C_STATUS = 0x10 // for reading
};
#define I2C_BUS_HZ 400000u
#define I2C_PRESCALE (CHIP_I2C_CLOCK_HZ / (5 * I2C_BUS_HZ) - 1)
#define I2C_CONTROL_ENABLE 0x80u
#define I2C_START 0x80u
#define I2C_STOP 0x40u
#define I2C_READ 0x20u
#define I2C_WRITE 0x10u
#define I2C_LAST 0x08u // no acknowledgement: the device must not send more
#define I2C_STATUS_NO_ANSWER 0x80u
#define I2C_STATUS_BUSY 0x02u
#define I2C_POLLS 100000u // a byte takes 25 us

static uint32_t i2c_get(uint32_t offset) {
    return *(volatile uint8_t *)(uintptr_t)(CHIP_I2C_BASE + offset);
}

static void i2c_set(uint32_t offset, uint32_t value) {
    *(volatile uint8_t *)(uintptr_t)(CHIP_I2C_BASE + offset) = (uint8_t)value;
}

bool board_i2c_open(void) {
    board_probe_begin();
    i2c_get(I2C_CONTROL);
    if (!board_probe_end()) return false;
    i2c_set(I2C_PRESCALE_LOW, I2C_PRESCALE & 0xFF);
    i2c_set(I2C_PRESCALE_HIGH, I2C_PRESCALE >> 8);
    i2c_set(I2C_CONTROL, I2C_CONTROL_ENABLE);
    return i2c_get(I2C_CONTROL) == I2C_CONTROL_ENABLE;
}

// Executes a command; false if no device acknowledges `byte`.
static bool i2c_command(uint32_t command, uint32_t byte) {
    uint32_t status, polls = I2C_POLLS;
    i2c_set(I2C_DATA, byte);
    i2c_set(I2C_COMMAND, command);
    do
        status = i2c_get(I2C_STATUS);
    while ((status & I2C_STATUS_BUSY) != 0 && --polls != 0);
    return (status & (I2C_STATUS_BUSY | I2C_STATUS_NO_ANSWER)) == 0;
}

// Addresses a register of a device. Without an answer the bus is free again.
static bool i2c_address(uint32_t device, uint32_t place) {
    if (i2c_command(I2C_START | I2C_WRITE, device << 1) && i2c_command(I2C_WRITE, place)) return true;
    i2c_command(I2C_STOP, 0);
    return false;
}

bool board_i2c_read(uint32_t device, uint32_t from, uint8_t *bytes, uint32_t count) {
    if (!i2c_address(device, from)) return false;
    i2c_command(I2C_START | I2C_WRITE, device << 1 | 1);
    while (count-- != 0) {
        i2c_command(count != 0 ? I2C_READ : I2C_READ | I2C_LAST | I2C_STOP, 0);
        *bytes++ = (uint8_t)i2c_get(I2C_DATA);
    }
    return true;
}

bool board_i2c_write(uint32_t device, uint32_t to, uint8_t value) {
    return i2c_address(device, to) && i2c_command(I2C_WRITE | I2C_STOP, value);
}
