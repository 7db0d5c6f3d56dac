"""What each windowed or normalising layer computes, as plain float64 loops: slow, obvious, independent of the library.

Letters: n image, c channel in, o channel out, i and j output row and column, u and v row and column within a window.
"""

import math

import numpy as np


def pair(value):
    """int or (h, w) as (h, w)."""
    return (value, value) if isinstance(value, int) else tuple(value)


def edges(padding):
    """int, (h, w) or ((top, bottom), (left, right)) as ((top, bottom), (left, right))."""
    return tuple(pair(side) for side in pair(padding))


def windows(size, kernel, stride, before, after, dilation, ceil_mode):
    """First input coordinate of every window along one axis, found by trying them one after the other."""
    extent = dilation * (kernel - 1) + 1
    starts, start = [], -before
    while start + extent <= size + after:
        starts.append(start)
        start += stride
    if not ceil_mode:
        return starts
    reached = starts[-1] + extent if starts else -before
    if reached < size + after:  # something is left over: one more window, which overhangs
        starts.append(start)
    return [start for start in starts if start < size]


def grid(shape, kernel, stride, padding, dilation, ceil_mode):
    """Window starts (rows, columns) and the offsets of the taps within a window (rows, columns)."""
    kernel, stride, padding, dilation = pair(kernel), pair(stride), edges(padding), pair(dilation)
    starts = [windows(shape[a], kernel[a], stride[a], *padding[a], dilation[a], ceil_mode) for a in (0, 1)]
    return (
        starts[0],
        starts[1],
        [u * dilation[0] for u in range(kernel[0])],
        [v * dilation[1] for v in range(kernel[1])],
    )


def taps(shape, kernel, stride, padding, dilation=1, ceil_mode=False):
    """Yield (i, j, u, v, row, column) for every tap that falls on the input, in the order of the window."""
    rows, columns, us, vs = grid(shape, kernel, stride, padding, dilation, ceil_mode)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            for u, du in enumerate(us):
                for v, dv in enumerate(vs):
                    if 0 <= top + du < shape[0] and 0 <= left + dv < shape[1]:
                        yield i, j, u, v, top + du, left + dv


def output_size(shape, kernel, stride, padding, dilation=1, ceil_mode=False):
    rows, columns, _, _ = grid(shape, kernel, stride, padding, dilation, ceil_mode)
    return len(rows), len(columns)


def convolution(x, w, b, stride=1, padding=0, dilation=1, groups=1, ceil_mode=False):
    """y[n,o,i,j] = b[o] + sum over c, u, v of w[o,c,u,v] * x[n, first channel of o's group + c, row, column]."""
    (N, _, H, W), (OC, CG, KH, KW) = x.shape, w.shape
    where = list(taps((H, W), (KH, KW), stride, padding, dilation, ceil_mode))
    y = np.zeros((N, OC, *output_size((H, W), (KH, KW), stride, padding, dilation, ceil_mode)))
    for n in range(N):
        for o in range(OC):
            first = o // (OC // groups) * CG
            y[n, o] = 0.0 if b is None else b[o]
            for i, j, u, v, row, column in where:
                for c in range(CG):
                    y[n, o, i, j] += w[o, c, u, v] * x[n, first + c, row, column]
    return y


def convolution_backward(x, w, dy, stride=1, padding=0, dilation=1, groups=1, ceil_mode=False):
    """Every product of the forward pass sends its share back: dx, dw, db."""
    (N, _, H, W), (OC, CG, KH, KW) = x.shape, w.shape
    where = list(taps((H, W), (KH, KW), stride, padding, dilation, ceil_mode))
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(OC)
    for n in range(N):
        for o in range(OC):
            first = o // (OC // groups) * CG
            db[o] += dy[n, o].sum()
            for i, j, u, v, row, column in where:
                for c in range(CG):
                    dx[n, first + c, row, column] += w[o, c, u, v] * dy[n, o, i, j]
                    dw[o, c, u, v] += x[n, first + c, row, column] * dy[n, o, i, j]
    return dx, dw, db


def max_pool(x, kernel, stride, padding=0, dilation=1, ceil_mode=False):
    """Largest tap on the input (padding never wins) and where it was; the first of equals; NaN beats every number."""
    N, C, H, W = x.shape
    OH, OW = output_size((H, W), kernel, stride, padding, dilation, ceil_mode)
    y, winner = np.full((N, C, OH, OW), -np.inf), np.full((N, C, OH, OW, 2), -1)
    for n in range(N):
        for c in range(C):
            for i, j, _, _, row, column in taps((H, W), kernel, stride, padding, dilation, ceil_mode):
                value, best = x[n, c, row, column], y[n, c, i, j]
                if winner[n, c, i, j, 0] < 0 or value > best or (math.isnan(value) and not math.isnan(best)):
                    y[n, c, i, j], winner[n, c, i, j] = value, (row, column)
    return y, winner


def max_pool_backward(x, winner, dy):
    dx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(dy.shape):
        row, column = winner[n, c, i, j]
        dx[n, c, row, column] += dy[n, c, i, j]
    return dx


def average_counts(shape, kernel, stride, padding, ceil_mode, count_include_pad):
    """How many taps each window counts: those on the input, and those on the padding if asked; overhang never."""
    rows, columns, us, vs = grid(shape, kernel, stride, padding, 1, ceil_mode)
    margins = edges(padding) if count_include_pad else ((0, 0), (0, 0))

    def counted(start, offsets, axis):
        low, high = -margins[axis][0], shape[axis] + margins[axis][1]
        return sum(low <= start + offset < high for offset in offsets)

    return np.array([[counted(top, us, 0) * counted(left, vs, 1) for left in columns] for top in rows], float)


def average_pool(x, kernel, stride, padding=0, ceil_mode=False, count_include_pad=True):
    N, C, H, W = x.shape
    counts = average_counts((H, W), kernel, stride, padding, ceil_mode, count_include_pad)
    y = np.zeros((N, C, *counts.shape))
    for i, j, _, _, row, column in taps((H, W), kernel, stride, padding, 1, ceil_mode):
        y[:, :, i, j] += x[:, :, row, column]
    return y / counts


def average_pool_backward(x, dy, kernel, stride, padding=0, ceil_mode=False, count_include_pad=True):
    counts = average_counts(x.shape[2:], kernel, stride, padding, ceil_mode, count_include_pad)
    dx = np.zeros(x.shape)
    for i, j, _, _, row, column in taps(x.shape[2:], kernel, stride, padding, 1, ceil_mode):
        dx[:, :, row, column] += dy[:, :, i, j] / counts[i, j]
    return dx


def lrn(x, size, alpha, beta, k, alpha_mode):
    """y[c] = x[c] / (k + a * sum of x[d]^2 over the `size` channels d around c)^beta, a = alpha or alpha / size."""
    C, a = x.shape[1], alpha / size if alpha_mode == "mean" else alpha
    y = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(x.shape):
        around = range(max(0, c - size // 2), min(C, c + size // 2 + 1))
        y[n, c, i, j] = x[n, c, i, j] / (k + a * sum(x[n, d, i, j] ** 2 for d in around)) ** beta
    return y


def lrn_backward(x, dy, size, alpha, beta, k, alpha_mode):
    """dy[c]/dx[e] = [c = e] s[c]^-beta - 2 a beta x[c] x[e] s[c]^(-beta-1) for every e in c's window."""
    C, a = x.shape[1], alpha / size if alpha_mode == "mean" else alpha
    dx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(x.shape):
        around = range(max(0, c - size // 2), min(C, c + size // 2 + 1))
        s = k + a * sum(x[n, d, i, j] ** 2 for d in around)
        dx[n, c, i, j] += dy[n, c, i, j] * s**-beta
        for e in around:
            dx[n, e, i, j] -= dy[n, c, i, j] * 2 * a * beta * x[n, c, i, j] * x[n, e, i, j] * s ** (-beta - 1)
    return dx


def softmax_cross_entropy(logits, labels):
    """Mean over the batch of log(sum of exp(z)) - z[label], and its gradient, one image at a time."""
    N, K = logits.shape
    loss, dlogits = 0.0, np.zeros(logits.shape)
    for n in range(N):
        largest = max(logits[n])
        exps = [math.exp(z - largest) for z in logits[n]]
        loss += (math.log(sum(exps)) + largest - logits[n, labels[n]]) / N
        for j in range(K):
            dlogits[n, j] = (exps[j] / sum(exps) - (j == labels[n])) / N
    return loss, dlogits
