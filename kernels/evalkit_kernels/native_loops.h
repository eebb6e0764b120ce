/* What the native loops have in common: registers of floats, tensors by their strides, pieces of work for
 * threads. GNU C with vector extensions, for gcc and clang on any processor. */

#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))
#define EACH(i, n) for (int i = 0; i < (n); i++)

typedef float lanes __attribute__((vector_size(4 * LANES)));

/* [B, T, H, N] with the last axis contiguous; strides in floats. */
struct operand {
    const float *data;
    int64_t batch, time, head;
};

INLINE const float *at(struct operand x, int64_t batch, int64_t time, int64_t head) {
    return x.data + batch * x.batch + time * x.time + head * x.head;
}

INLINE lanes load(const float *from) {
    lanes x;
    memcpy(&x, from, sizeof x);
    return x;
}

INLINE void store(float *to, lanes x) { memcpy(to, &x, sizeof x); }

/* A plain loop over this vectorises. Cephes' polynomial, within 1 ulp; clamped where float32 ends. */
INLINE float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    /* Adding 1.5 * 2^23 rounds to an integer, which stays in the sum's low bits. */
    const float shifted = x * 1.44269504f + 12582912.0f;
    const float n = shifted - 12582912.0f;
    const float f = x - n * 0.693359375f - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits << 23) + (127u << 23);
    float power_of_two;
    memcpy(&power_of_two, &bits, 4);
    return p * power_of_two;
}

/* Every function runs in all threads at once on one structure of arguments. Pieces of work are dealt out one
 * by one to whichever thread asks next; `next_piece` is 0 at first. */
#define FOR_EACH_PIECE(piece, next_piece, count)                                              \
    for (int64_t piece = __atomic_fetch_add(next_piece, 1, __ATOMIC_RELAXED); piece < (count); \
         piece = __atomic_fetch_add(next_piece, 1, __ATOMIC_RELAXED))
