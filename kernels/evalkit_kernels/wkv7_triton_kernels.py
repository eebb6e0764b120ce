# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def, no-untyped-call"
"""Triton kernels of WKV-7. `wkv7_triton` launches them; importing this module needs triton.

Shape legend: H = heads, N = head size, Q = tokens per chunk (16), BV = value rows per program, i = value,
j = key index. Tokens of all sequences lie behind each other: inputs are ``[tokens, H, N]``; sequence s has
the tokens ``starts[s]`` to ``starts[s + 1]`` and the chunks ``chunk_starts[s]`` to ``chunk_starts[s + 1]``.
Scratch is ``[chunks, H, Q, N]``, states are ``[sequences or chunks, H, N_value, N_key]``, all float32.

In a chunk with incoming state S, L_t = the log decays summed up to and with token t, m = L in the middle::

    rq_t = r_t e^(L_t - m)   aq_t = a_t e^(L_(t-1) - m)   ki_t = k_t e^(m - L_t)   bi_t = b_t e^(m - L_t)
    Sm = S diag(e^m)         F = diag(e^(L_Q - m))
    Aab = tril(aq bi^T, -1)  Aak = tril(aq ki^T, -1)  Arb = tril(rq bi^T)  Ark = tril(rq ki^T)
    W  = (I - Aab)^-1        Z  = W aq                R  = rq + Arb Z      (the part that meets the state)
    Uf = W Aak V             Yf = Ark V + Arb Uf                           (the part that does not)
    U  = Uf + Z Sm^T         Y  = Yf + R Sm^T         S' = (Sm + V^T ki + U^T bi) F

Row t of U is u_t = S_(t-1) a_t. The middle as origin halves the exponents: for decays down to exp(-0.6065)
no factor exceeds e^(8 * 0.6065) = 128. With G = dS' F the gradients are::

    dS   = (G + dY^T R + (G bi^T) Z) diag(e^m)
    dU   = Arb^T dY + bi G^T        dX = W^T dU        dV = Ark^T dY + Aak^T dX + ki G^T
    dAab = tril(dX U^T, -1)  dAak = tril(dX V^T, -1)  dArb = tril(dY U^T)  dArk = tril(dY V^T)
    daq  = dAab bi + dAak ki + dX Sm            drq = dArb bi + dArk ki + dY Sm
    dbi  = dAab^T aq + dArb^T rq + U G          dki = dAak^T aq + dArk^T rq + V G
    dL_t = rq drq - ki dki - bi dbi + (aq daq)_(t+1);    dL_Q also gets sum_i (dS' S')[i, :]
    d log_decay_t = sum of dL_s over s >= t

Nothing is divided by a decay, and no program adds to what another one writes: the same inputs give the
same bits, whatever the order in which programs run.

Tokens after the end of a sequence are loaded as zeros: they neither decay nor write.
"""

import triton
import triton.language as tl


@triton.jit
def _rounded(x, PRECISION: tl.constexpr):
    """An operand as PRECISION has it.

    ``ieee``: float32, without tensor cores. ``tf32x3``: three tensor-core products, near float32. ``tf32``:
    one, of operands rounded to nearest here; left alone, the tensor core would ignore their low 13 bits,
    which is twice the error, and always towards zero. ``tf32_emulated``: the same operands for the
    interpreter, which knows no assembly and multiplies in float32: it then has the error of the GPU.
    """
    if PRECISION == "tf32":
        x = tl.inline_asm_elementwise(
            "cvt.rna.tf32.f32 $0, $1;", "=r,r", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    if PRECISION == "tf32_emulated":
        bits = x.to(tl.int32, bitcast=True)
        nearest = ((bits + 4096) & -8192).to(tl.float32, bitcast=True)  # ties away from zero
        x = tl.where(x == x, nearest, x)  # the sum would turn a NaN of all ones into -0
    return x


@triton.jit
def _dot_rounded(x, y, PRECISION: tl.constexpr):
    """``x @ y`` in float32 of operands that `_rounded` has seen."""
    return tl.dot(x, y, input_precision="ieee" if PRECISION == "tf32_emulated" else PRECISION)


@triton.jit
def _dot(x, y, PRECISION: tl.constexpr):
    return _dot_rounded(_rounded(x, PRECISION), _rounded(y, PRECISION), PRECISION)


@triton.jit
def _rows(first, end, head, H, N: tl.constexpr, Q: tl.constexpr):
    """Element offsets ``[Q]`` of the tokens from ``first`` on at one head, and which come before ``end``."""
    token = first + tl.arange(0, Q)
    return (token * H + head) * N, token < end


@triton.jit
def _load(base, rows, columns, exists):
    """A ``[Q, columns]`` tile in float32 (16-bit operands would be wrong in the interpreter's dot)."""
    offsets = rows[:, None] + columns[None, :]
    return tl.load(base + offsets, mask=exists[:, None], other=0.0).to(tl.float32)


@triton.jit
def _store(base, rows, columns, exists, tile):
    tl.store(base + rows[:, None] + columns[None, :], tile.to(base.dtype.element_ty), mask=exists[:, None])


@triton.jit
def _frame(log_decay, Q: tl.constexpr):
    """e^(L_t - m), e^(L_(t-1) - m) and e^(m - L_t), ``[Q, N]``, and m and L_Q, ``[N]``."""
    position = tl.arange(0, Q)[:, None]
    decay_sum = tl.cumsum(log_decay, axis=0)
    middle = tl.sum(tl.where(position == Q // 2 - 1, decay_sum, 0.0), axis=0)
    total = tl.sum(tl.where(position == Q - 1, decay_sum, 0.0), axis=0)
    decay_sum -= middle[None, :]
    return tl.exp(decay_sum), tl.exp(decay_sum - log_decay), tl.exp(-decay_sum), middle, total


@triton.jit
def _inverse(a_b, Q: tl.constexpr):
    """``(I - a_b)^-1`` for a strictly lower triangular ``a_b``, row by row: W_t = e_t + sum_s a_b[t,s] W_s.

    The product (I + A)(I + A^2)(I + A^4)(I + A^8) has fewer steps, but where keys repeat its factors reach
    1e6 while the inverse stays within ±2, and float32 loses six digits.
    """
    row = tl.arange(0, Q)[:, None]
    column = tl.arange(0, Q)[None, :]
    inverse = tl.where(row == column, 1.0, 0.0)
    transposed = tl.trans(a_b)  # so that a row of a_b comes out along the axis that weights inverse's rows
    for t in range(1, Q):
        weights = tl.sum(tl.where(column == t, transposed, 0.0), axis=1)
        solved = tl.sum(weights[:, None] * inverse, axis=0)
        inverse += tl.where(row == t, solved[None, :], 0.0)
    return inverse


@triton.jit
def _chunk(r, log_decay, k, a, b, Q: tl.constexpr, PRECISION: tl.constexpr):
    """What of a chunk depends neither on the values nor on the state; names as at the top."""
    row = tl.arange(0, Q)[:, None]
    column = tl.arange(0, Q)[None, :]
    grow, grow_before, shrink, middle, total = _frame(log_decay, Q)
    r *= grow
    a *= grow_before
    k *= shrink
    b *= shrink
    k_transposed = tl.trans(k)
    b_transposed = tl.trans(b)
    a_b = tl.where(row > column, _dot(a, b_transposed, PRECISION), 0.0)
    a_k = tl.where(row > column, _dot(a, k_transposed, PRECISION), 0.0)
    r_b = tl.where(row >= column, _dot(r, b_transposed, PRECISION), 0.0)
    r_k = tl.where(row >= column, _dot(r, k_transposed, PRECISION), 0.0)
    return r, a, k, b, shrink, middle, total, _inverse(a_b, Q), a_k, r_b, r_k


@triton.jit
def prepare(
    r, log_decay, k, v, a, b,
    shrinks, frames, a_solved, r_solved, u_fixed, y_fixed,
    starts, chunk_starts, chunk_sequence, num_sequences, H,
    N: tl.constexpr, Q: tl.constexpr, VALUES: tl.constexpr, INNER: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Z, R and, if VALUES, Uf and Yf; a program per (chunk, head), head fastest.

    ``shrinks`` gets e^(m - L_t), and ``frames``, ``[chunks, H, 2, N]``, gets e^m and F: the scans, where one
    chunk waits for another, then have neither sums nor exponentials to compute. Products here are INNER,
    PRECISION is that of the scans: where one key repeats undecayed with c = 2 (a reflection), tf32 here too
    made the error grow with T instead of its square root, ten times as large after 256 tokens.
    """
    program = tl.program_id(0).to(tl.int64)
    chunk = program // H
    head = program % H
    sequence = tl.load(chunk_sequence + chunk)
    if sequence >= num_sequences:  # there may be fewer chunks than the launch had to allow for
        return
    first = tl.load(starts + sequence) + (chunk - tl.load(chunk_starts + sequence)) * Q
    rows, exists = _rows(first, tl.load(starts + sequence + 1), head, H, N, Q)
    columns = tl.arange(0, N)
    r_in, a_in, _, _, shrink, middle, total, inverse, a_k, r_b, r_k = _chunk(
        _load(r, rows, columns, exists),
        _load(log_decay, rows, columns, exists),
        _load(k, rows, columns, exists),
        _load(a, rows, columns, exists),
        _load(b, rows, columns, exists),
        Q,
        INNER,
    )
    scratch = program * Q * N + tl.arange(0, Q)[:, None] * N + columns[None, :]
    tl.store(shrinks + scratch, shrink)
    tl.store(frames + program * 2 * N + columns, tl.exp(middle))
    tl.store(frames + (program * 2 + 1) * N + columns, tl.exp(total - middle))
    solved = _dot(inverse, a_in, INNER)
    # As the scans' precision has them, so that they can go from memory to the tensor cores as they are.
    tl.store(a_solved + scratch, _rounded(solved, PRECISION))
    tl.store(r_solved + scratch, _rounded(r_in + _dot(r_b, solved, INNER), PRECISION))
    if VALUES:
        values = _load(v, rows, columns, exists)
        fixed = _dot(inverse, _dot(a_k, values, INNER), INNER)
        tl.store(u_fixed + scratch, fixed)
        tl.store(y_fixed + scratch, _dot(r_k, values, INNER) + _dot(r_b, fixed, INNER))


@triton.jit
def scan(
    k, v, b,
    shrinks, frames, a_solved, r_solved, u_fixed, y_fixed,
    state, y, final_state, chunk_states,
    starts, chunk_starts, H,
    N: tl.constexpr, Q: tl.constexpr, BV: tl.constexpr, SAVE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Y and the final state, chunk after chunk; a program per (sequence, head, BV value rows).

    Rows of the state are independent, so a program needs nothing from another. If SAVE, the state before
    each chunk goes to ``chunk_states``.
    """
    program = tl.program_id(0).to(tl.int64)
    head = program // (N // BV) % H
    sequence = program // (N // BV) // H
    columns = tl.arange(0, N)
    values = program % (N // BV) * BV + tl.arange(0, BV)
    square = values[:, None] * N + columns[None, :]
    here = tl.load(state + (sequence * H + head) * N * N + square)
    first_chunk = tl.load(chunk_starts + sequence)
    num_chunks = tl.load(chunk_starts + sequence + 1) - first_chunk
    start = tl.load(starts + sequence)
    end = tl.load(starts + sequence + 1)
    for index in range(0, num_chunks):
        chunk = first_chunk + index
        rows, exists = _rows(start + index * Q, end, head, H, N, Q)
        tile = (chunk * H + head) * Q * N + tl.arange(0, Q) * N
        always = tl.arange(0, Q) < Q
        if SAVE:
            tl.store(chunk_states + (chunk * H + head) * N * N + square, here)
        frame = frames + (chunk * H + head) * 2 * N + columns
        shrink = _load(shrinks, tile, columns, always)
        k_in = _load(k, rows, columns, exists) * shrink
        b_in = _load(b, rows, columns, exists) * shrink
        v_t = tl.trans(_load(v, rows, values, exists))
        z_t = tl.trans(_load(a_solved, tile, columns, always))
        r_t = tl.trans(_load(r_solved, tile, columns, always))
        here *= tl.load(frame)[None, :]
        rounded = _rounded(here, PRECISION)
        u_t = tl.trans(_load(u_fixed, tile, values, always)) + _dot_rounded(rounded, z_t, PRECISION)
        y_t = tl.trans(_load(y_fixed, tile, values, always)) + _dot_rounded(rounded, r_t, PRECISION)
        here += _dot(v_t, k_in, PRECISION) + _dot(u_t, b_in, PRECISION)
        here *= tl.load(frame + N)[None, :]
        _store(y, rows, values, exists, tl.trans(y_t))
    tl.store(final_state + (sequence * H + head) * N * N + square, here)


@triton.jit
def _token(r, log_decay, k, v, a, b, key_side, value_side, exists):
    return (
        tl.load(r + key_side, mask=exists, other=0.0).to(tl.float32),
        tl.load(log_decay + key_side, mask=exists, other=0.0),
        tl.load(k + key_side, mask=exists, other=0.0).to(tl.float32),
        tl.load(v + value_side, mask=exists, other=0.0).to(tl.float32),
        tl.load(a + key_side, mask=exists, other=0.0).to(tl.float32),
        tl.load(b + key_side, mask=exists, other=0.0).to(tl.float32),
    )


@triton.jit
def sequential(
    r, log_decay, k, v, a, b,
    state, y, final_state, chunk_states,
    starts, chunk_starts, H,
    N: tl.constexpr, Q: tl.constexpr, BV: tl.constexpr, SAVE: tl.constexpr,
):  # fmt: skip
    """The recurrence token by token; a program per (sequence, head, BV value rows), nothing else stored."""
    program = tl.program_id(0).to(tl.int64)
    head = program // (N // BV) % H
    sequence = program // (N // BV) // H
    columns = tl.arange(0, N)
    values = program % (N // BV) * BV + tl.arange(0, BV)
    square = values[:, None] * N + columns[None, :]
    here = tl.load(state + (sequence * H + head) * N * N + square)
    first_chunk = tl.load(chunk_starts + sequence)
    start = tl.load(starts + sequence)
    num_tokens = tl.load(starts + sequence + 1) - start
    row = (start * H + head) * N
    token = _token(r, log_decay, k, v, a, b, row + columns, row + values, num_tokens > 0)
    for t in range(0, num_tokens):
        r_t, log_decay_t, k_t, v_t, a_t, b_t = token
        row = ((start + t) * H + head) * N
        ahead = row + H * N  # fetched while this token is computed: the recurrence need not wait for memory
        token = _token(r, log_decay, k, v, a, b, ahead + columns, ahead + values, t + 1 < num_tokens)
        if SAVE:  # noqa: SIM102
            # Nested, for this condition is a constant of the compilation and the next is not.
            if t % Q == 0:
                tl.store(chunk_states + ((first_chunk + t // Q) * H + head) * N * N + square, here)
        u_t = tl.sum(here * a_t[None, :], axis=1)
        here *= tl.exp(log_decay_t)[None, :]
        here += u_t[:, None] * b_t[None, :] + v_t[:, None] * k_t[None, :]
        tl.store(y + row + values, tl.sum(here * r_t[None, :], axis=1).to(y.dtype.element_ty))
    tl.store(final_state + (sequence * H + head) * N * N + square, here)


@triton.jit
def scan_backward(
    b, shrinks, frames, a_solved, r_solved, d_y, d_final_state, d_state, d_chunk_states,
    starts, chunk_starts, H,
    N: tl.constexpr, Q: tl.constexpr, BV: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of all states, last chunk first; a program per (sequence, head, BV value rows).

    The gradient of the state after each chunk goes to ``d_chunk_states``, that of the first to ``d_state``.
    """
    program = tl.program_id(0).to(tl.int64)
    head = program // (N // BV) % H
    sequence = program // (N // BV) // H
    columns = tl.arange(0, N)
    values = program % (N // BV) * BV + tl.arange(0, BV)
    square = values[:, None] * N + columns[None, :]
    d_here = tl.load(d_final_state + (sequence * H + head) * N * N + square)
    first_chunk = tl.load(chunk_starts + sequence)
    num_chunks = tl.load(chunk_starts + sequence + 1) - first_chunk
    start = tl.load(starts + sequence)
    end = tl.load(starts + sequence + 1)
    for index in range(0, num_chunks):
        chunk = first_chunk + num_chunks - 1 - index
        rows, exists = _rows(start + (num_chunks - 1 - index) * Q, end, head, H, N, Q)
        tile = (chunk * H + head) * Q * N + tl.arange(0, Q) * N
        always = tl.arange(0, Q) < Q
        tl.store(d_chunk_states + (chunk * H + head) * N * N + square, d_here)
        frame = frames + (chunk * H + head) * 2 * N + columns
        b_in = _load(b, rows, columns, exists) * _load(shrinks, tile, columns, always)
        z = _load(a_solved, tile, columns, always)
        r_in = _load(r_solved, tile, columns, always)
        d_y_t = tl.trans(_load(d_y, rows, values, exists))
        d_here *= tl.load(frame + N)[None, :]
        d_u_t = _dot(d_here, tl.trans(b_in), PRECISION)
        d_here += _dot_rounded(_rounded(d_y_t, PRECISION), r_in, PRECISION)
        d_here += _dot_rounded(_rounded(d_u_t, PRECISION), z, PRECISION)
        d_here *= tl.load(frame)[None, :]
    tl.store(d_state + (sequence * H + head) * N * N + square, d_here)


@triton.jit
def gradients(
    r, log_decay, k, v, a, b, chunk_states, d_chunk_states,
    d_y, d_r, d_log_decay, d_k, d_v, d_a, d_b,
    starts, chunk_starts, chunk_sequence, num_sequences, H,
    N: tl.constexpr, Q: tl.constexpr, BV: tl.constexpr, INNER: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of the six inputs; a program per (chunk, head), head fastest.

    Value rows are taken BV at a time to bound the registers, and all by the same program: the sums over
    them need no atomics and no second pass.
    """
    program = tl.program_id(0).to(tl.int64)
    chunk = program // H
    head = program % H
    sequence = tl.load(chunk_sequence + chunk)
    if sequence >= num_sequences:
        return
    first = tl.load(starts + sequence) + (chunk - tl.load(chunk_starts + sequence)) * Q
    rows, exists = _rows(first, tl.load(starts + sequence + 1), head, H, N, Q)
    columns = tl.arange(0, N)
    row = tl.arange(0, Q)[:, None]
    column = tl.arange(0, Q)[None, :]
    _, a_in, k_in, b_in, _, middle, total, inverse, a_k, r_b, r_k = _chunk(
        _load(r, rows, columns, exists),
        _load(log_decay, rows, columns, exists),
        _load(k, rows, columns, exists),
        _load(a, rows, columns, exists),
        _load(b, rows, columns, exists),
        Q,
        INNER,
    )
    into_frame = tl.exp(middle)[None, :]
    out_of_frame = tl.exp(total - middle)[None, :]
    d_a_b = tl.zeros((Q, Q), dtype=tl.float32)
    d_a_k = tl.zeros((Q, Q), dtype=tl.float32)
    d_r_b = tl.zeros((Q, Q), dtype=tl.float32)
    d_r_k = tl.zeros((Q, Q), dtype=tl.float32)
    d_r_in = tl.zeros((Q, N), dtype=tl.float32)
    d_a_in = tl.zeros((Q, N), dtype=tl.float32)
    d_k_in = tl.zeros((Q, N), dtype=tl.float32)
    d_b_in = tl.zeros((Q, N), dtype=tl.float32)
    d_total = tl.zeros((N,), dtype=tl.float32)
    for block in range(0, N, BV):
        values = block + tl.arange(0, BV)
        square = program * N * N + values[:, None] * N + columns[None, :]
        before = tl.load(chunk_states + square) * into_frame  # Sm
        after = tl.load(d_chunk_states + square) * out_of_frame  # G
        v_tile = _load(v, rows, values, exists)
        d_y_tile = _load(d_y, rows, values, exists)
        after_t = tl.trans(after)
        x = _dot(a_k, v_tile, PRECISION) + _dot(a_in, tl.trans(before), PRECISION)
        u = _dot(inverse, x, PRECISION)
        d_u = _dot(tl.trans(r_b), d_y_tile, PRECISION) + _dot(b_in, after_t, PRECISION)
        d_x = _dot(tl.trans(inverse), d_u, PRECISION)
        d_v_tile = _dot(tl.trans(r_k), d_y_tile, PRECISION) + _dot(tl.trans(a_k), d_x, PRECISION)
        _store(d_v, rows, values, exists, d_v_tile + _dot(k_in, after_t, PRECISION))
        u_t = tl.trans(u)
        v_t = tl.trans(v_tile)
        d_a_b += _dot(d_x, u_t, PRECISION)
        d_a_k += _dot(d_x, v_t, PRECISION)
        d_r_b += _dot(d_y_tile, u_t, PRECISION)
        d_r_k += _dot(d_y_tile, v_t, PRECISION)
        d_a_in += _dot(d_x, before, PRECISION)
        d_r_in += _dot(d_y_tile, before, PRECISION)
        d_b_in += _dot(u, after, PRECISION)
        d_k_in += _dot(v_tile, after, PRECISION)
        d_total += tl.sum(after * before, axis=0)
    # Loaded and computed a second time: kept through the loop, they would not fit into the registers.
    grow, grow_before, shrink, middle, total = _frame(_load(log_decay, rows, columns, exists), Q)
    r_in = _load(r, rows, columns, exists) * grow
    a_in = _load(a, rows, columns, exists) * grow_before
    k_in = _load(k, rows, columns, exists) * shrink
    b_in = _load(b, rows, columns, exists) * shrink
    # sum_i (dS' S') = sum_i G Sm + sum_t ki (V G) + bi (U G): d_k_in and d_b_in are still just V G and U G.
    d_total += tl.sum(k_in * d_k_in + b_in * d_b_in, axis=0)
    d_a_b = tl.where(row > column, d_a_b, 0.0)
    d_a_k = tl.where(row > column, d_a_k, 0.0)
    d_r_b = tl.where(row >= column, d_r_b, 0.0)
    d_r_k = tl.where(row >= column, d_r_k, 0.0)
    d_a_in += _dot(d_a_b, b_in, PRECISION) + _dot(d_a_k, k_in, PRECISION)
    d_r_in += _dot(d_r_b, b_in, PRECISION) + _dot(d_r_k, k_in, PRECISION)
    d_b_in += _dot(tl.trans(d_a_b), a_in, PRECISION) + _dot(tl.trans(d_r_b), r_in, PRECISION)
    d_k_in += _dot(tl.trans(d_a_k), a_in, PRECISION) + _dot(tl.trans(d_r_k), r_in, PRECISION)
    _store(d_r, rows, columns, exists, d_r_in * grow)
    _store(d_a, rows, columns, exists, d_a_in * grow_before)
    _store(d_k, rows, columns, exists, d_k_in * shrink)
    _store(d_b, rows, columns, exists, d_b_in * shrink)
    by_a = a_in * d_a_in  # belongs to L_(t-1): counted from the next token on
    d_decay_sum = r_in * d_r_in - k_in * d_k_in - b_in * d_b_in + by_a
    suffix = tl.cumsum(d_decay_sum, axis=0, reverse=True)
    _store(d_log_decay, rows, columns, exists, suffix - by_a + d_total[None, :])
