// SPDX-License-Identifier: Apache-2.0
#include "transfers.h"

#include "platform.h"

static void store_element(uint8_t *data, uint32_t size, uint64_t value) {
    for (; size > 0; size--, value >>= 8)
        *data++ = (uint8_t)value;
}

void fill_elements(uint8_t *data, uint32_t count, uint32_t size, uint64_t value) {
    if (count > 1 && (size == 1 || value == 0)) {
        platform_fill(data, (uint8_t)value, count * size);
        return;
    }
    for (; count > 0; count--, data += size)
        store_element(data, size, value);
}

// Forwards or backwards.
void copy_bytes(uint8_t *target, const uint8_t *source, size_t count) {
    if (target + count <= source || source + count <= target) {
        platform_copy(target, source, count);
    } else if (target < source) {
        for (size_t k = 0; k < count; k++)
            target[k] = source[k];
    } else {
        while (count-- > 0)
            target[count] = source[count];
    }
}
