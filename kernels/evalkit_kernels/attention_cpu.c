/* Causal attention for float32 inference on CPU, whose sums go in one order for every query, however many are
 * computed side by side: a text that is read at once gets the bits that it gets token by token.
 *
 * Shape legend: B = batch, T = time, H = heads, K = keys, N = head size (a multiple of 16, at most MAX_N).
 * Heads may share keys; G of them do.
 *
 * Queries go side by side through a block of keys while it is in the processor's nearest cache. A query's own
 * numbers never meet those of another, and what is done with them is the same machine code.
 */

#include "native_loops.h"

#define MAX_N 256
#define MAX_QUERIES 32
#define KEY_BLOCK 64
#define TILE 8
#define MAX_WIDTH 8

#define CALLED static __attribute__((noinline))

typedef float quad __attribute__((vector_size(16)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));

#ifdef __clang__
#define SHUFFLED(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLED(x, y, ...) __builtin_shuffle(x, y, (int32_t __attribute__((vector_size(16)))){__VA_ARGS__})
#endif

INLINE lanes larger(lanes x, lanes y) {
    const integers mask = x > y;
    return (lanes)((mask & (integers)x) | (~mask & (integers)y));
}

INLINE quad folded(lanes x) {
    quad parts[LANES / 4];
    memcpy(parts, &x, sizeof x);
    quad sum = parts[0];
    for (int i = 1; i < LANES / 4; i++) sum += parts[i];
    return sum;
}

/* The sums of four registers. */
INLINE quad totals(const lanes *x) {
    const quad a = folded(x[0]), b = folded(x[1]), c = folded(x[2]), d = folded(x[3]);
    const quad ab = SHUFFLED(a, b, 0, 4, 1, 5) + SHUFFLED(a, b, 2, 6, 3, 7);
    const quad cd = SHUFFLED(c, d, 0, 4, 1, 5) + SHUFFLED(c, d, 2, 6, 3, 7);
    return SHUFFLED(ab, cd, 0, 1, 4, 5) + SHUFFLED(ab, cd, 2, 3, 6, 7);
}

/* Scores of one query by the keys of a block, `count` of them and as many more as fill a tile. */
CALLED void score_block(int n, int count, const float *query, const float *keys, int64_t next, float scale,
                        float *scores) {
    for (int k = 0; k < count; k += TILE) {
        lanes sums[TILE];
        EACH(c, TILE) sums[c] = (lanes){0};
        for (int i = 0; i < n; i += LANES) {
            const lanes x = load(query + i);
            EACH(c, TILE) sums[c] += x * load(keys + (k + c) * next + i);
        }
        for (int c = 0; c < TILE; c += 4) {
            const quad tile = totals(sums + c) * scale;
            memcpy(scores + k + c, &tile, sizeof tile);
        }
    }
}

/* Scores of `count` keys become weights exp(score - largest); returns one over their sum. What fills the last
 * register is the least that exp gives, 1e-38, and is never looked at but in the sum. */
CALLED float weigh(int64_t count, float *scores) {
    const int64_t filled = (count + LANES - 1) / LANES * LANES;
    for (int64_t k = count; k < filled; k++) scores[k] = -__builtin_inff();
    lanes most = load(scores), sum = {0};
    for (int64_t k = LANES; k < filled; k += LANES) most = larger(load(scores + k), most);
    float largest = most[0];
    for (int i = 1; i < LANES; i++) largest = most[i] > largest ? most[i] : largest;
    for (int64_t k = 0; k < filled; k++) scores[k] = exponential(scores[k] - largest);
    for (int64_t k = 0; k < filled; k += LANES) sum += load(scores + k);
    float total = 0;
    EACH(i, LANES) total += sum[i];
    return 1.0f / total;
}

/* out += weights values, in `width` registers. */
INLINE void add_values(int width, int count, const float *weights, const float *values, int64_t next,
                       float *out) {
    lanes sums[MAX_WIDTH];
    EACH(c, width) sums[c] = load(out + c * LANES);
    EACH(k, count) EACH(c, width) sums[c] += load(values + k * next + c * LANES) * weights[k];
    EACH(c, width) store(out + c * LANES, sums[c]);
}

CALLED void add_block(int n, int count, const float *weights, const float *values, int64_t next, float *out) {
    int i = 0;
    for (; i + 8 * LANES <= n; i += 8 * LANES) add_values(8, count, weights, values + i, next, out + i);
    for (; i + 4 * LANES <= n; i += 4 * LANES) add_values(4, count, weights, values + i, next, out + i);
    for (; i < n; i += LANES) add_values(1, count, weights, values + i, next, out + i);
}

struct attention {
    struct operand query;       /* [B, T, H, N] */
    struct operand key, value;  /* [B, K, H / G, N], K a multiple of KEY_BLOCK */
    float *out;                 /* [B, T, H, N] */
    float *scratch;             /* MAX_QUERIES K floats for each thread */
    int64_t num_batch, num_tokens, num_heads, head_size, next_piece;
    int64_t num_key_heads, num_keys, num_before, next_scratch;
    float scale;
};

/* A query is one of T G of a batch and a head of keys, by time and then by head. */
struct query {
    const float *x;
    float *scores, *out;
    int64_t num_keys;
    float share;
};

void evalkit_attention(struct attention *x) {
    const int n = (int)x->head_size;
    const int64_t group = x->num_heads / x->num_key_heads, num_queries = x->num_tokens * group;
    const int64_t pieces = (num_queries + MAX_QUERIES - 1) / MAX_QUERIES;
    float *scratch = x->scratch + MAX_QUERIES * x->num_keys *
                                      __atomic_fetch_add(&x->next_scratch, 1, __ATOMIC_RELAXED);
    FOR_EACH_PIECE(piece, &x->next_piece, x->num_batch * x->num_key_heads * pieces) {
        const int64_t pair = piece / pieces, first_query = piece % pieces * MAX_QUERIES;
        const int64_t batch = pair / x->num_key_heads, key_head = pair % x->num_key_heads;
        const int64_t rest = num_queries - first_query;
        const int count = (int)(rest < MAX_QUERIES ? rest : MAX_QUERIES);
        struct query queries[MAX_QUERIES];
        EACH(i, count) {
            const int64_t t = (first_query + i) / group, head = key_head * group + (first_query + i) % group;
            queries[i] = (struct query){at(x->query, batch, t, head), scratch + i * x->num_keys,
                                        x->out + ((batch * x->num_tokens + t) * x->num_heads + head) * n,
                                        x->num_before + t + 1, 0};
            memset(queries[i].out, 0, sizeof(float) * n);
        }
        const int64_t num_keys = queries[count - 1].num_keys;
        for (int64_t k = 0; k < num_keys; k += KEY_BLOCK) EACH(i, count) {
            const int64_t seen = queries[i].num_keys - k;
            if (seen > 0)
                score_block(n, (int)(seen < KEY_BLOCK ? seen : KEY_BLOCK), queries[i].x,
                            at(x->key, batch, k, key_head), x->key.time, x->scale, queries[i].scores + k);
        }
        EACH(i, count) queries[i].share = weigh(queries[i].num_keys, queries[i].scores);
        for (int64_t k = 0; k < num_keys; k += KEY_BLOCK) EACH(i, count) {
            const int64_t seen = queries[i].num_keys - k;
            if (seen > 0)
                add_block(n, (int)(seen < KEY_BLOCK ? seen : KEY_BLOCK), queries[i].scores + k,
                          at(x->value, batch, k, key_head), x->value.time, queries[i].out);
        }
        EACH(i, count) EACH(j, n) queries[i].out[j] *= queries[i].share;
    }
}
