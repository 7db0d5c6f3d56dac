// Pooling of x (N, C, H, W) → y (N, C, OH, OW). Maps know nothing of each other: below they are numbered from 0 to N*C.
//
// Tap (i, j) of window (p, q) lies on the pixel (p*SH - PH + i*DH, q*SW - PW + j*DW), which may be outside of the map.
//
// Forward: a thread computes one output, backward one pixel of dx, gathered from all windows that hold it. (To scatter dy,
// one thread for each window, would take atomic additions where windows overlap, in an order left to chance.) Each thread
// does so for its place in every `together`-th map: where the windows lie takes several integer divisions, which a GPU is
// slow at, and is the same for every map. (`map` is a long long because map + together may pass 2^31.)

// One axis of the window, rows or columns.
struct Axis {
    int pixels, windows, kernel, stride, before, dilation;

    // Where the first tap of a window lies.
    __device__ int start(int window) const { return window * stride - before; }

    // The first tap of a window from `start` on that lies on or after `bound`; `kernel` if none does.
    __device__ int first_tap(int start, int bound) const
    {
        return start >= bound ? 0 : min(kernel, (bound - start + dilation - 1) / dilation);
    }

    // How many taps of a window from `start` on lie in [low, high).
    __device__ int taps_within(int start, int low, int high) const { return first_tap(start, high) - first_tap(start, low); }

    // The first and last window that may hold a pixel: between their first and last tap.
    __device__ int first_window(int pixel) const
    {
        int room = pixel + before - (kernel - 1) * dilation;
        return room <= 0 ? 0 : (room + stride - 1) / stride;
    }
    __device__ int last_window(int pixel) const { return min(windows - 1, (pixel + before) / stride); }

    // The tap of a window that lies on a pixel, -1 if the pixel falls between two taps.
    __device__ int tap_on(int window, int pixel) const
    {
        int offset = pixel - start(window);
        return dilation == 1 ? offset : offset % dilation ? -1 : offset / dilation;
    }
};

// Tap numbers take 1, 2 or 4 bytes each, as many as the last of them needs; none, where nobody asks for them.
__device__ void write_tap(unsigned char *taps, int bytes, long long i, int tap)
{
    for (int b = 0; b < bytes; b++) taps[i * bytes + b] = tap >> 8 * b;
}

__device__ int read_tap(const unsigned char *taps, int bytes, long long i)
{
    int tap = 0;
    for (int b = 0; b < bytes; b++) tap |= taps[i * bytes + b] << 8 * b;
    return tap;
}

// for each map, p, q:
//     best = -∞
//     for (i = 0; i < KH; i++)
//         for (j = 0; j < KW; j++)
//             if ((i, j) lies on the map and (x[map, its pixel] > best or is the first NaN, or nothing was found yet))
//                 best = x[map, its pixel], tap = i * KW + j
//     y[map, p, q] = best, argmax[map, p, q] = tap
extern "C" __global__ void max_pool2d_forward(const real *x, real *y, unsigned char *argmax, int bytes, int maps, int together,
                                              int H, int W, int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW,
                                              int DH, int DW)
{
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= together * OH * OW) return;
    Axis rows = {H, OH, KH, SH, PH, DH}, columns = {W, OW, KW, SW, PW, DW};
    int top = rows.start(t / OW % OH), left = columns.start(t % OW);
    int i0 = rows.first_tap(top, 0), i1 = rows.first_tap(top, H);
    int j0 = columns.first_tap(left, 0), j1 = columns.first_tap(left, W);
    for (long long map = t / (OH * OW); map < maps; map += together) {
        const real *pixels = x + map * H * W;
        int tap = i0 * KW + j0;
        real best = pixels[(top + i0 * DH) * W + left + j0 * DW];
        for (int i = i0; i < i1; i++) {
            for (int j = j0; j < j1; j++) {
                real value = pixels[(top + i * DH) * W + left + j * DW];
                if (best == best && !(value <= best)) {  // larger, or the first NaN: that compares false with everything
                    best = value;
                    tap = i * KW + j;
                }
            }
        }
        long long o = map * OH * OW + t % (OH * OW);
        y[o] = best;
        write_tap(argmax, bytes, o, tap);
    }
}

// dx = 0
// for each map, p, q: dx[map, the pixel under tap argmax[map, p, q]] += dy[map, p, q]
extern "C" __global__ void max_pool2d_backward(const real *dy, const unsigned char *argmax, int bytes, real *dx, int maps,
                                               int together, int H, int W, int OH, int OW, int KH, int KW, int SH, int SW,
                                               int PH, int PW, int DH, int DW)
{
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= together * H * W) return;
    Axis rows = {H, OH, KH, SH, PH, DH}, columns = {W, OW, KW, SW, PW, DW};
    int h = t / W % H, w = t % W;
    int p0 = rows.first_window(h), p1 = rows.last_window(h), q0 = columns.first_window(w), q1 = columns.last_window(w);
    for (long long map = t / (H * W); map < maps; map += together) {
        real sum = 0;
        for (int p = p1; p >= p0; p--) {  // from the last to the first, so that the taps rise: the order of the CPU
            int i = rows.tap_on(p, h);
            for (int q = q1; q >= q0; q--) {
                int j = columns.tap_on(q, w);
                long long o = (map * OH + p) * OW + q;
                if (i >= 0 && j >= 0 && read_tap(argmax, bytes, o) == i * KW + j) sum += dy[o];
            }
        }
        dx[map * H * W + t % (H * W)] = sum;
    }
}

// for each p, q: shares[p, q] = 1 / (taps of the window that count)
//
// One thread for each window. Taps from `top` pixels above the map to `bottom` below count, and so to the left and right.
extern "C" __global__ void avg_pool2d_shares(real *shares, int top, int bottom, int left, int right, int H, int W, int OH,
                                             int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= OH * OW) return;
    Axis rows = {H, OH, KH, SH, PH, DH}, columns = {W, OW, KW, SW, PW, DW};
    int counted = rows.taps_within(rows.start(t / OW), -top, H + bottom)
        * columns.taps_within(columns.start(t % OW), -left, W + right);
    shares[t] = (real)1 / counted;
}

// for each map, p, q: y[map, p, q] = (sum over i, j of x[map, the pixel under (i, j)]) * shares[p, q]
extern "C" __global__ void avg_pool2d_forward(const real *x, const real *shares, real *y, int maps, int together, int H, int W,
                                              int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= together * OH * OW) return;
    Axis rows = {H, OH, KH, SH, PH, DH}, columns = {W, OW, KW, SW, PW, DW};
    int top = rows.start(t / OW % OH), left = columns.start(t % OW), window = t % (OH * OW);
    int i0 = rows.first_tap(top, 0), i1 = rows.first_tap(top, H);
    int j0 = columns.first_tap(left, 0), j1 = columns.first_tap(left, W);
    for (long long map = t / (OH * OW); map < maps; map += together) {
        const real *pixels = x + map * H * W;
        real sum = 0;
        for (int i = i0; i < i1; i++)
            for (int j = j0; j < j1; j++) sum += pixels[(top + i * DH) * W + left + j * DW];
        y[map * OH * OW + window] = sum * shares[window];
    }
}

// dx = 0
// for each map, p, q, i, j: dx[map, the pixel under (i, j)] += dy[map, p, q] * shares[p, q]
extern "C" __global__ void avg_pool2d_backward(const real *dy, const real *shares, real *dx, int maps, int together, int H,
                                               int W, int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH,
                                               int DW)
{
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= together * H * W) return;
    Axis rows = {H, OH, KH, SH, PH, DH}, columns = {W, OW, KW, SW, PW, DW};
    int h = t / W % H, w = t % W;
    int p0 = rows.first_window(h), p1 = rows.last_window(h), q0 = columns.first_window(w), q1 = columns.last_window(w);
    for (long long map = t / (H * W); map < maps; map += together) {
        real sum = 0;
        for (int p = p1; p >= p0; p--)
            for (int q = q1; q >= q0; q--)
                if (rows.tap_on(p, h) >= 0 && columns.tap_on(q, w) >= 0)
                    sum += dy[(map * OH + p) * OW + q] * shares[p * OW + q];
        dx[map * H * W + t % (H * W)] = sum;
    }
}
