/* RWKV-7's state update for float32 inference on CPU, alone (`wkv7`) and with all that stands between the
 * matrix products of a time mix (`time_mix`); and the token shift's mixes (`token_shift`).
 *
 * Shape legend: B = batch, T = time, H = heads, N = head size (a multiple of 16, at most MAX_N), i = value,
 * j = key index, C = H N channels. GNU C with vector extensions, for gcc and clang on any processor.
 *
 * Per head and token, with the state S[i, j] and reads[i] = sum_j S_{t-1}[i, j] a_t[j]:
 *
 *     S_t[i, j] = S_{t-1}[i, j] decay_t[j] + reads[i] b_t[j] + v_t[i] k_t[j]
 *     y_t[i]    = sum_j S_t[i, j] r_t[j]
 *
 * The state is kept as [key][value]: values fill the vector registers, every sum over keys is a chain of
 * fused multiply-adds, and nothing is ever added up across a register. While S_t is in a register, the next
 * token's reads are summed as well, so that the state is loaded and stored once per token.
 */

#include "native_loops.h"

#define MAX_N 128

/* Registers of values per block: with 16 floats each 4 of each of reads, v, y, next reads of 32; else of 16. */
#if LANES == 16
#define MAX_WIDTH 4
#else
#define MAX_WIDTH 2
#endif

typedef float vector[MAX_N] __attribute__((aligned(64)));

INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

/* sum_i x[i] y[i] */
INLINE float dot(const float *x, const float *y, int n) {
    lanes sum = {0};
    for (int i = 0; i < n; i += LANES) sum += load(x + i) * load(y + i);
    float total = 0;
    EACH(i, LANES) total += sum[i];
    return total;
}

/* What the recurrence takes of one token of one head. */
struct token {
    vector r, decay, k, v, a, b;
};

/* `width` registers of values from value i on, through one token. */
INLINE void advance_block(int width, int n, int i, float *state, float *reads, const struct token *now,
                          const float *next_a, float *y) {
    lanes read[MAX_WIDTH], v[MAX_WIDTH], sum[MAX_WIDTH], next[MAX_WIDTH];
    EACH(c, width) {
        read[c] = load(reads + i + c * LANES);
        v[c] = load(now->v + i + c * LANES);
        sum[c] = next[c] = (lanes){0};
    }
    EACH(j, n) {
        float *row = state + j * n + i;
        EACH(c, width) {
            lanes s = load(row + c * LANES) * now->decay[j] + (read[c] * now->b[j] + v[c] * now->k[j]);
            store(row + c * LANES, s);
            sum[c] += s * now->r[j];
            next[c] += s * next_a[j];
        }
    }
    EACH(c, width) {
        store(y + i + c * LANES, sum[c]);
        store(reads + i + c * LANES, next[c]);
    }
}

/* One token of one head. state[j, i] and reads[i] (of this token) are replaced by those after it. */
static void advance(int n, float *state, float *reads, const struct token *now, const float *next_a,
                    float *y) {
    int i = 0;
    for (; MAX_WIDTH == 4 && i + 4 * LANES <= n; i += 4 * LANES)
        advance_block(MAX_WIDTH, n, i, state, reads, now, next_a, y);
    for (; i + 2 * LANES <= n; i += 2 * LANES) advance_block(2, n, i, state, reads, now, next_a, y);
    for (; i < n; i += LANES) advance_block(1, n, i, state, reads, now, next_a, y);
}

/* The state to [key][value], and the first token's reads. */
static void enter(int n, const float *from, float *state, float *reads, const float *a) {
    EACH(i, n) reads[i] = 0;
    EACH(j, n) EACH(i, n) {
        state[j * n + i] = from[i * n + j];
        reads[i] += state[j * n + i] * a[j];
    }
}

static void leave(int n, const float *state, float *to) {
    EACH(i, n) EACH(j, n) to[i * n + j] = state[j * n + i];
}

/* A stride of whole rows defeats the hardware's prefetching: fetch what is read this much later. */
#define AHEAD 4

INLINE void prefetch(int n, struct operand x, int64_t batch, int64_t time, int64_t head) {
    for (int i = 0; i < n; i += 16) __builtin_prefetch(at(x, batch, time, head) + i);
}

struct wkv7 {
    struct operand inputs[6]; /* r, log_decay, k, v, a, b */
    const float *state_before; /* [B, H, N_value, N_key] */
    float *state_after;
    float *y; /* [B, T, H, N] */
    int64_t num_batch, num_tokens, num_heads, head_size, next_piece;
};

void evalkit_wkv7(struct wkv7 *x) {
    const int64_t num_tokens = x->num_tokens, num_heads = x->num_heads;
    const int n = (int)x->head_size;
    float state[MAX_N * MAX_N] __attribute__((aligned(64)));
    vector reads;
    struct token tokens[2];
    memset(tokens, 0, sizeof tokens);
    FOR_EACH_PIECE(pair, &x->next_piece, x->num_batch * num_heads) {
        const int64_t batch = pair / num_heads, head = pair % num_heads;
        for (int64_t t = 0; t <= num_tokens; t++) {
            /* One token is prepared beyond the one that is computed, whose pass needs the next a. */
            struct token *next = &tokens[t % 2];
            if (t < num_tokens) {
                float *const parts[6] = {next->r, next->decay, next->k, next->v, next->a, next->b};
                EACH(part, 6) {
                    memcpy(parts[part], at(x->inputs[part], batch, t, head), sizeof(float) * n);
                    if (t + AHEAD < num_tokens) prefetch(n, x->inputs[part], batch, t + AHEAD, head);
                }
                EACH(j, n) next->decay[j] = exponential(next->decay[j]);
            }
            if (t == 0)
                enter(n, x->state_before + pair * n * n, state, reads, next->a);
            else
                advance(n, state, reads, &tokens[(t - 1) % 2], next->a,
                        x->y + ((batch * num_tokens + t - 1) * num_heads + head) * n);
        }
        leave(n, state, x->state_after + pair * n * n);
    }
}

/* The gradient, by running the recurrence backwards. With G[i, j] the gradient of S_t[i, j] from all that
 * comes after, to which y_t adds dy[i] r[j]:
 *
 *     dr[j] = sum_i dy[i] S_t[i, j]          dk[j] = sum_i G[i, j] v[i]      dv[i] = sum_j G[i, j] k[j]
 *     db[j] = sum_i G[i, j] reads[i]         da[j] = sum_i ds[i] S_{t-1}[i, j]
 *     dlog_decay[j] = decay[j] sum_i G[i, j] S_{t-1}[i, j]          ds[i] = sum_j G[i, j] b[j]
 *     G[i, j] for token t - 1 = G[i, j] decay[j] + ds[i] a[j]
 *
 * The states are computed again: first, as in the forward pass, all reads and the states before every
 * PIECE_TOKENS tokens, which are kept; then from the last of these to the first all the states between. That
 * is exact; dividing by the decay is not. Going back, the state lies as [value][key]: of the seven sums above
 * only two run across registers. */
#define PIECE_TOKENS 16

struct wkv7_backward {
    struct operand inputs[6]; /* r, log_decay, k, v, a, b */
    struct operand d_y; /* [B, T, H, N] */
    const float *state_before; /* [B, H, N_value, N_key] */
    const float *d_state_after;
    float *d_inputs[6]; /* [B, T, H, N] */
    float *d_state_before;
    float *scratch; /* per thread: kept [ceil(T / PIECE_TOKENS), N, N], states [PIECE_TOKENS + 1, N, N],
                       d_state [N, N], reads [T + 1, N] */
    int64_t num_batch, num_tokens, num_heads, head_size, next_piece, next_scratch;
};

typedef float quad __attribute__((vector_size(16)));

/* Adds up a register in a tree. */
INLINE float across(lanes x) {
    quad parts[LANES / 4];
    memcpy(parts, &x, sizeof parts);
    for (int width = LANES / 8; width; width /= 2) EACH(i, width) parts[i] += parts[i + width];
    return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
}

static void read_token(const struct wkv7_backward *x, int64_t batch, int64_t t, int64_t head, struct token *to) {
    const int n = (int)x->head_size;
    float *const parts[6] = {to->r, to->decay, to->k, to->v, to->a, to->b};
    EACH(part, 6) memcpy(parts[part], at(x->inputs[part], batch, t, head), sizeof(float) * n);
    EACH(j, n) to->decay[j] = exponential(to->decay[j]);
}

/* reads[t] of all tokens, and the states before every PIECE_TOKENS of them, [value][key]. */
static void keep(const struct wkv7_backward *x, int64_t batch, int64_t head, const float *state_before, float *kept,
                 float *reads) {
    const int n = (int)x->head_size;
    float state[MAX_N * MAX_N] __attribute__((aligned(64)));
    vector y;
    struct token tokens[2];
    memset(tokens, 0, sizeof tokens);
    for (int64_t t = 0; t <= x->num_tokens; t++) {
        struct token *next = &tokens[t % 2];
        float *const read = reads + t * n;
        if (t < x->num_tokens) read_token(x, batch, t, head, next);
        if (t == 0) {
            enter(n, state_before, state, read, next->a);
        } else {
            memcpy(read, read - n, sizeof(float) * n);
            advance(n, state, read, &tokens[(t - 1) % 2], next->a, y);
        }
        if (t < x->num_tokens && t % PIECE_TOKENS == 0) leave(n, state, kept + t / PIECE_TOKENS * n * n);
    }
}

/* to = the state after a token, [value][key]. */
static void step(int n, const float *from, const struct token *now, const float *reads, float *to) {
    EACH(i, n) for (int j = 0; j < n; j += LANES)
        store(to + i * n + j, load(from + i * n + j) * load(now->decay + j) +
                                  (load(now->b + j) * reads[i] + load(now->k + j) * now->v[i]));
}

struct token_gradient {
    vector r, decay, k, v, a, b;
};

/* `width` registers of keys from key j on, summed over all values; d_state becomes that of the token before. */
INLINE void retreat_block(int width, int n, int j, const float *before, const float *after, const struct token *now,
                          const float *reads, const float *d_y, const float *d_reads, float *d_state,
                          struct token_gradient *to) {
    lanes d_r[MAX_WIDTH], d_decay[MAX_WIDTH], d_k[MAX_WIDTH], d_a[MAX_WIDTH], d_b[MAX_WIDTH];
    EACH(c, width) d_r[c] = d_decay[c] = d_k[c] = d_a[c] = d_b[c] = (lanes){0};
    EACH(i, n) EACH(c, width) {
        const int at_j = j + c * LANES, at_ij = i * n + at_j;
        const lanes g = load(d_state + at_ij), old = load(before + at_ij);
        d_r[c] += load(after + at_ij) * d_y[i];
        d_decay[c] += g * old;
        d_k[c] += g * now->v[i];
        d_b[c] += g * reads[i];
        d_a[c] += old * d_reads[i];
        store(d_state + at_ij, g * load(now->decay + at_j) + load(now->a + at_j) * d_reads[i]);
    }
    EACH(c, width) {
        const int at_j = j + c * LANES;
        store(to->r + at_j, d_r[c]);
        store(to->decay + at_j, d_decay[c] * load(now->decay + at_j));
        store(to->k + at_j, d_k[c]);
        store(to->a + at_j, d_a[c]);
        store(to->b + at_j, d_b[c]);
    }
}

/* One token backwards: d_state, the gradient of the state after it, becomes that of the state before. */
static void retreat(int n, const float *before, const float *after, const struct token *now, const float *reads,
                    const float *d_y, float *d_state, struct token_gradient *to) {
    vector d_reads;
    EACH(i, n) {
        lanes for_v = {0}, for_reads = {0};
        for (int j = 0; j < n; j += LANES) {
            const lanes g = load(d_state + i * n + j) + load(now->r + j) * d_y[i];
            store(d_state + i * n + j, g);
            for_v += g * load(now->k + j);
            for_reads += g * load(now->b + j);
        }
        to->v[i] = across(for_v);
        d_reads[i] = across(for_reads);
    }
    int j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        retreat_block(2, n, j, before, after, now, reads, d_y, d_reads, d_state, to);
    for (; j < n; j += LANES) retreat_block(1, n, j, before, after, now, reads, d_y, d_reads, d_state, to);
}

void evalkit_wkv7_backward(struct wkv7_backward *x) {
    const int64_t num_tokens = x->num_tokens, num_heads = x->num_heads;
    const int n = (int)x->head_size, size = n * n;
    const int64_t num_kept = (num_tokens + PIECE_TOKENS - 1) / PIECE_TOKENS;
    const int64_t scratch_size = (num_kept + PIECE_TOKENS + 2) * size + (num_tokens + 1) * n;
    float *const kept = x->scratch + __atomic_fetch_add(&x->next_scratch, 1, __ATOMIC_RELAXED) * scratch_size;
    float *const states = kept + num_kept * size;
    float *const d_state = states + (PIECE_TOKENS + 1) * size;
    float *const reads = d_state + size;
    struct token tokens[PIECE_TOKENS];
    struct token_gradient gradient;
    memset(tokens, 0, sizeof tokens);
    FOR_EACH_PIECE(pair, &x->next_piece, x->num_batch * num_heads) {
        const int64_t batch = pair / num_heads, head = pair % num_heads;
        keep(x, batch, head, x->state_before + pair * size, kept, reads);
        memcpy(d_state, x->d_state_after + pair * size, sizeof(float) * size);
        for (int64_t piece = num_kept - 1; piece >= 0; piece--) {
            const int64_t first = piece * PIECE_TOKENS;
            const int count = (int)(num_tokens - first < PIECE_TOKENS ? num_tokens - first : PIECE_TOKENS);
            memcpy(states, kept + piece * size, sizeof(float) * size);
            EACH(u, count) {
                read_token(x, batch, first + u, head, &tokens[u]);
                step(n, states + u * size, &tokens[u], reads + (first + u) * n, states + (u + 1) * size);
            }
            for (int u = count - 1; u >= 0; u--) {
                const float *const parts[6] = {gradient.r, gradient.decay, gradient.k,
                                               gradient.v, gradient.a, gradient.b};
                retreat(n, states + u * size, states + (u + 1) * size, &tokens[u], reads + (first + u) * n,
                        at(x->d_y, batch, first + u, head), d_state, &gradient);
                const int64_t offset = ((batch * num_tokens + first + u) * num_heads + head) * n;
                EACH(part, 6) memcpy(x->d_inputs[part] + offset, parts[part], sizeof(float) * n);
            }
        }
        memcpy(x->d_state_before + pair * size, d_state, sizeof(float) * size);
    }
}

/* Everything between the matrix products of a time mix, per head; p is a parameter's slice of the head.
 *
 *     decay = exp(log_decay_bound sigmoid(decay_logit + w0))      rate = sigmoid(rate_logit + a0)
 *     v     = v + (v_first - v) sigmoid(residual_logit + v0)      (not in layer 0)
 *     kk    = k k_k / |k k_k|         k = k (1 + (rate - 1) k_a)         a = -kk         b = kk rate
 *     out   = (norm(y) weight + bias + (sum_j r k r_k) v) gate
 */
enum { R, DECAY_LOGIT, K, V, RATE_LOGIT, GATE, RESIDUAL_LOGIT, V_FIRST, NUM_INPUTS };
enum { W0, A0, K_K, K_A, R_K, WEIGHT, BIAS, V0, NUM_PARAMETERS };

static void prepare(int n, const float *const *x, const float *const *p, float log_decay_bound,
                    struct token *token) {
    memcpy(token->r, x[R], sizeof(float) * n);
    EACH(j, n) token->decay[j] = exponential(log_decay_bound * sigmoid(x[DECAY_LOGIT][j] + p[W0][j]));
    memcpy(token->v, x[V], sizeof(float) * n);
    if (x[V_FIRST])
        EACH(i, n) token->v[i] += (x[V_FIRST][i] - x[V][i]) * sigmoid(x[RESIDUAL_LOGIT][i] + p[V0][i]);
    vector removal;
    EACH(j, n) removal[j] = x[K][j] * p[K_K][j];
    const float norm = __builtin_sqrtf(dot(removal, removal, n));
    const float inverse = 1.0f / (norm > 1e-12f ? norm : 1e-12f);
    EACH(j, n) {
        const float rate = sigmoid(x[RATE_LOGIT][j] + p[A0][j]);
        const float kk = removal[j] * inverse;
        token->k[j] = x[K][j] * (1.0f + (rate - 1.0f) * p[K_A][j]);
        token->a[j] = -kk;
        token->b[j] = kk * rate;
    }
}

static void finish(int n, const float *y, const struct token *token, const float *gate,
                   const float *const *p, float norm_eps, float *out) {
    vector ones, centred, bonus_key;
    EACH(i, n) ones[i] = 1;
    const float mean = dot(y, ones, n) / n;
    EACH(i, n) centred[i] = y[i] - mean;
    const float scale = 1.0f / __builtin_sqrtf(dot(centred, centred, n) / n + norm_eps);
    EACH(j, n) bonus_key[j] = token->k[j] * p[R_K][j];
    const float bonus = dot(token->r, bonus_key, n);
    EACH(i, n) out[i] = (centred[i] * scale * p[WEIGHT][i] + p[BIAS][i] + bonus * token->v[i]) * gate[i];
}

struct time_mix {
    struct operand inputs[NUM_INPUTS]; /* the last two with data 0 in layer 0 */
    const float *parameters[NUM_PARAMETERS]; /* [C] each */
    const float *state_before; /* [B, H, N_value, N_key] */
    float *state_after;
    float *out; /* [B, T, C] */
    int64_t num_batch, num_tokens, num_heads, head_size, next_piece;
    float log_decay_bound, norm_eps;
};

void evalkit_time_mix(struct time_mix *x) {
    const int64_t num_tokens = x->num_tokens, num_heads = x->num_heads;
    const int n = (int)x->head_size;
    float state[MAX_N * MAX_N] __attribute__((aligned(64)));
    vector reads, y;
    struct token tokens[2];
    memset(tokens, 0, sizeof tokens);
    FOR_EACH_PIECE(pair, &x->next_piece, x->num_batch * num_heads) {
        const int64_t batch = pair / num_heads, head = pair % num_heads;
        const float *p[NUM_PARAMETERS];
        EACH(i, NUM_PARAMETERS) p[i] = x->parameters[i] ? x->parameters[i] + head * n : 0;
        for (int64_t t = 0; t <= num_tokens; t++) {
            struct token *next = &tokens[t % 2], *now = &tokens[(t + 1) % 2];
            if (t < num_tokens) {
                const float *in[NUM_INPUTS];
                EACH(i, NUM_INPUTS) {
                    in[i] = x->inputs[i].data ? at(x->inputs[i], batch, t, head) : 0;
                    if (in[i] && t + AHEAD < num_tokens) prefetch(n, x->inputs[i], batch, t + AHEAD, head);
                }
                prepare(n, in, p, x->log_decay_bound, next);
            }
            if (t == 0) {
                enter(n, x->state_before + pair * n * n, state, reads, next->a);
            } else {
                advance(n, state, reads, now, next->a, y);
                finish(n, y, now, at(x->inputs[GATE], batch, t - 1, head), p, x->norm_eps,
                       x->out + ((batch * num_tokens + t - 1) * num_heads + head) * n);
            }
        }
        leave(n, state, x->state_after + pair * n * n);
    }
}

/* outputs[m] = h + (previous - h) mixes[m], where previous is h one token earlier and shift at first. */
struct token_shift {
    const float *h; /* [B, T, C] */
    const float *shift; /* [B, C] */
    const float *const *mixes; /* [C] each */
    float *const *outputs; /* [B, T, C] each */
    int64_t num_mixes, num_batch, num_tokens, num_channels, next_piece;
};

void evalkit_token_shift(struct token_shift *x) {
    const int64_t num_tokens = x->num_tokens, num_channels = x->num_channels;
    const int64_t pieces = (num_tokens + PIECE_TOKENS - 1) / PIECE_TOKENS;
    FOR_EACH_PIECE(piece, &x->next_piece, x->num_batch * pieces) {
        const int64_t batch = piece / pieces, first = piece % pieces * PIECE_TOKENS;
        for (int64_t t = first; t < num_tokens && t < first + PIECE_TOKENS; t++) {
            const int64_t offset = (batch * num_tokens + t) * num_channels;
            const float *now = x->h + offset;
            const float *previous = t ? now - num_channels : x->shift + batch * num_channels;
            for (int64_t m = 0; m < x->num_mixes; m++) {
                const float *mix = x->mixes[m];
                float *restrict to = x->outputs[m] + offset;
                for (int64_t c = 0; c < num_channels; c++) to[c] = now[c] + (previous[c] - now[c]) * mix[c];
            }
        }
    }
}

#define PIECE_SIZE (1 << 14)

/* data = max(data, 0)^2 */
struct squared_relu {
    float *data;
    int64_t size, next_piece;
};

void evalkit_squared_relu(struct squared_relu *x) {
    FOR_EACH_PIECE(piece, &x->next_piece, (x->size + PIECE_SIZE - 1) / PIECE_SIZE) {
        const int64_t first = piece * PIECE_SIZE, rest = x->size - first;
        float *data = x->data + first;
        EACH(i, (int)(rest < PIECE_SIZE ? rest : PIECE_SIZE)) {
            const float kept = data[i] < 0 ? 0 : data[i];
            data[i] = kept * kept;
        }
    }
}
