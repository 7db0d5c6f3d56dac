// Dropout, any shape, n numbers: y[i] = x[i] * scale where keep[i], else 0.
//
// keep[i] is: word i of the random stream is at least `threshold`. The stream is Philox4x64-10 (Salmon et al. 2011,
// "Parallel random numbers: as easy as 1, 2, 3"; the constants are theirs): block b = 1, 2, ... of the stream is the
// number b, stirred with the key in ten rounds, and gives four 64-bit numbers, that is eight words. Nothing is carried
// from one block to the next, so any thread can make any block. It is the stream of numpy.random.Philox: the mask is the
// same on a CPU.

typedef unsigned long long u64;

// The four numbers of one block of the stream.
__device__ void philox(u64 block, u64 key0, u64 key1, u64 *numbers)
{
    u64 a = block, b = 0, c = 0, d = 0;
    for (int round = 0; round < 10; round++) {
        u64 low0 = 0xD2E7470EE14C6C93ull * a, high0 = __umul64hi(0xD2E7470EE14C6C93ull, a);
        u64 low1 = 0xCA5A826395121157ull * c, high1 = __umul64hi(0xCA5A826395121157ull, c);
        a = high1 ^ b ^ key0, b = low1;
        c = high0 ^ d ^ key1, d = low0;
        key0 += 0x9E3779B97F4A7C15ull;  // the golden ratio
        key1 += 0xBB67AE8584CAA73Bull;  // √3 − 1
    }
    numbers[0] = a, numbers[1] = b, numbers[2] = c, numbers[3] = d;
}

// Word i of the stream is one half of number i / 2, the low half first.
__device__ unsigned word(u64 number, int i)
{
    return (unsigned)(number >> (i % 2 ? 32 : 0));
}

// for (i = 0; i < n; i++) {
//     keep[i] = word(stream, i) >= threshold;
//     y[i] = keep[i] ? x[i] * scale : 0;               not x * 0, which is no number where x is infinite
// }
//
// One thread for each number, which makes a whole block for its one word: eight times the arithmetic that is needed.
extern "C" __global__ void dropout_forward_naive(const real *x, real *y, bool *keep, int n, unsigned long long key0,
                                                 unsigned long long key1, unsigned long long threshold, real scale)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    u64 numbers[4];
    philox(i / 8 + 1, key0, key1, numbers);
    int place = i / 2 % 4;
    u64 number = place == 0 ? numbers[0] : place == 1 ? numbers[1] : place == 2 ? numbers[2] : numbers[3];
    keep[i] = word(number, i) >= threshold;
    y[i] = keep[i] ? x[i] * scale : 0;
}

// The same. 256 threads make 256 blocks of the stream, lay them into shared memory, and take the 2,048 words from there,
// in each turn 256 words for 256 numbers side by side. Were each thread to serve the eight numbers of the block that it
// made, the 32 threads of a warp would write to 32 distant places at a time.
extern "C" __global__ void dropout_forward(const real *x, real *y, bool *keep, int n, unsigned long long key0,
                                           unsigned long long key1, unsigned long long threshold, real scale)
{
    __shared__ u64 numbers[1024];
    philox(blockIdx.x * 256ull + threadIdx.x + 1, key0, key1, numbers + 4 * threadIdx.x);
    __syncthreads();
    int first = blockIdx.x * 2048, count = min(2048, n - first);
    for (int i = threadIdx.x; i < count; i += 256) {
        bool kept = word(numbers[i / 2], i) >= threshold;
        keep[first + i] = kept;
        y[first + i] = kept ? x[first + i] * scale : 0;
    }
}

// for (i = 0; i < n; i++) dx[i] = keep[i] ? dy[i] * scale : 0;
//
// One thread for each number.
extern "C" __global__ void dropout_backward(const real *dy, const bool *keep, real *dx, int n, real scale)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dx[i] = keep[i] ? dy[i] * scale : 0;
}
