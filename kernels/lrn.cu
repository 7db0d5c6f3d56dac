// Local response normalisation of x (N, C, pixels): s[c] = k + alpha * (sum of x[d]^2 over the `size` maps d around c).
//
// Two rungs. The naive kernels compute one number a thread, and read each number as often as a window holds it: 5 times
// forward and 25 backward, for size 5. In the others a thread walks through the maps at one pixel and keeps what its window
// holds in registers, so that it reads each number once. It adds the window up anew at each map. A running sum, plus the
// map that enters, minus the one that leaves, would be one addition less for each map, and wrong: what a large number
// leaves behind in rounding stays in the sum when it has left, so that s may even become negative, and after an infinity
// the rest is no number.
//
// Neighbouring threads have neighbouring pixels, so that a warp reads memory in one piece.

// s^beta, by roots for the paper's beta of 3/4: pow takes some ten times as long.
__device__ real power(real s, real beta)
{
    if (beta != (real)0.75) return pow(s, beta);
    real root = sqrt(s);
    return root * sqrt(root);
}

// s of number i, which lies in map c.
__device__ real scale(const real *x, int i, int c, int channels, int pixels, int size, real alpha, real k)
{
    real sum = 0;
    for (int d = max(0, c - size / 2); d <= min(channels - 1, c + size / 2); d++) {
        real value = x[i + (d - c) * pixels];
        sum += value * value;
    }
    return sum * alpha + k;
}

// for each number i: y[i] = x[i] / s[i]^beta
//
// One thread for each of the n numbers.
extern "C" __global__ void lrn_forward_naive(const real *x, real *y, int n, int channels, int pixels, int size, real alpha,
                                             real beta, real k)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    y[i] = x[i] / power(scale(x, i, i / pixels % channels, channels, pixels, size, alpha, k), beta);
}

// for each number i, in map c:
//     total = sum of dy[j] * x[j] / s[j]^(beta + 1) over the numbers j at the same pixel in the `size` maps around c
//     dx[i] = dy[i] / s[i]^beta - 2 * alpha * beta * x[i] * total
//
// One thread for each of the n numbers; twice_alpha_beta = 2 * alpha * beta.
extern "C" __global__ void lrn_backward_naive(const real *dy, const real *x, real *dx, int n, int channels, int pixels,
                                              int size, real alpha, real beta, real k, real twice_alpha_beta)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int c = i / pixels % channels;
    real total = 0, own = 0;
    for (int d = max(0, c - size / 2); d <= min(channels - 1, c + size / 2); d++) {
        int j = i + (d - c) * pixels;
        real s = scale(x, j, d, channels, pixels, size, alpha, k);
        real direct = dy[j] / power(s, beta);
        if (d == c) own = direct;
        total += direct * x[j] / s;
    }
    dx[i] = own - total * twice_alpha_beta * x[i];
}

// The last SIZE numbers of a walk. All loops over them are unrolled, so that they stay in registers.
template <int SIZE> struct Recent {
    real values[SIZE] = {};

    __device__ void push(real value)
    {
#pragma unroll
        for (int i = 0; i < SIZE - 1; i++) values[i] = values[i + 1];
        values[SIZE - 1] = value;
    }
    __device__ real sum() const
    {
        real total = 0;
#pragma unroll
        for (int i = 0; i < SIZE; i++) total += values[i];
        return total;
    }
    __device__ real sum_of_squares() const
    {
        real total = 0;
#pragma unroll
        for (int i = 0; i < SIZE; i++) total += values[i] * values[i];
        return total;
    }
};

// Where a walk begins and ends: thread t has a pixel of one image, in up to `stretch` maps. Whole columns of maps, one
// thread for each pixel, would be too few threads to keep a large GPU busy.
struct Walk {
    int base, first, last;  // number (base + c * pixels) is the one in map c; maps from first up to last, without it

    __device__ Walk(int t, int channels, int pixels, int stretch)
    {
        int stretches = (channels + stretch - 1) / stretch, image = t / pixels / stretches;
        base = image * channels * pixels + t % pixels;
        first = t / pixels % stretches * stretch;
        last = min(channels, first + stretch);
    }
};

// y[c] = x[c] / s[c]^beta for the maps of one walk: the map f in front enters the window, and completes that of c.
template <int SIZE> __device__ void walk_forward(const real *x, real *y, Walk walk, int channels, int pixels, real alpha,
                                                 real beta, real k)
{
    const int HALF = SIZE / 2;
    Recent<SIZE> window;  // x[f - 2 * HALF] to x[f]
#pragma unroll 4
    for (int f = walk.first - HALF; f < walk.last + HALF; f++) {
        window.push(f >= 0 && f < channels ? x[walk.base + f * pixels] : 0);
        int c = f - HALF;
        if (c < walk.first) continue;
        real s = window.sum_of_squares() * alpha + k;
        y[walk.base + c * pixels] = window.values[HALF] / power(s, beta);
    }
}

// dx[c] for the maps of one walk: the map f in front completes the window of d, whose term completes the total of c.
template <int SIZE> __device__ void walk_backward(const real *dy, const real *x, real *dx, Walk walk, int channels, int pixels,
                                                  real alpha, real beta, real k, real twice_alpha_beta)
{
    const int HALF = SIZE / 2;
    Recent<SIZE> window, terms;  // x[c] to x[f];  dy * x / s^(beta + 1) from c - HALF to d
    Recent<HALF + 1> direct;     // dy / s^beta from c to d
#pragma unroll 4
    for (int f = walk.first - 2 * HALF; f < walk.last + 2 * HALF; f++) {
        window.push(f >= 0 && f < channels ? x[walk.base + f * pixels] : 0);
        int d = f - HALF, c = d - HALF;
        real own = 0, term = 0;
        if (d >= 0 && d >= walk.first - HALF && d < channels) {
            real s = window.sum_of_squares() * alpha + k;
            own = dy[walk.base + d * pixels] / power(s, beta);
            term = own * window.values[HALF] / s;
        }
        direct.push(own);
        terms.push(term);
        if (c >= walk.first)
            dx[walk.base + c * pixels] = direct.values[0] - terms.sum() * twice_alpha_beta * window.values[0];
    }
}

// What lrn_forward_naive computes, for a size of 3, 5, 7 or 9.
//
// One thread for each pixel of each image and each `stretch` maps, `threads` in all.
extern "C" __global__ void lrn_forward(const real *x, real *y, int threads, int channels, int pixels, int stretch, int size,
                                       real alpha, real beta, real k)
{
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= threads) return;
    Walk walk(t, channels, pixels, stretch);
    if (size == 3) walk_forward<3>(x, y, walk, channels, pixels, alpha, beta, k);
    if (size == 5) walk_forward<5>(x, y, walk, channels, pixels, alpha, beta, k);
    if (size == 7) walk_forward<7>(x, y, walk, channels, pixels, alpha, beta, k);
    if (size == 9) walk_forward<9>(x, y, walk, channels, pixels, alpha, beta, k);
}

// What lrn_backward_naive computes, for a size of 3, 5, 7 or 9; threads as in lrn_forward.
extern "C" __global__ void lrn_backward(const real *dy, const real *x, real *dx, int threads, int channels, int pixels,
                                        int stretch, int size, real alpha, real beta, real k, real twice_alpha_beta)
{
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= threads) return;
    Walk walk(t, channels, pixels, stretch);
    if (size == 3) walk_backward<3>(dy, x, dx, walk, channels, pixels, alpha, beta, k, twice_alpha_beta);
    if (size == 5) walk_backward<5>(dy, x, dx, walk, channels, pixels, alpha, beta, k, twice_alpha_beta);
    if (size == 7) walk_backward<7>(dy, x, dx, walk, channels, pixels, alpha, beta, k, twice_alpha_beta);
    if (size == 9) walk_backward<9>(dy, x, dx, walk, channels, pixels, alpha, beta, k, twice_alpha_beta);
}
