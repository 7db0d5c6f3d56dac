// Crops of images as a network eats them; on the CPU this is done by minicnn/data/batches.py, in the same order of operations.
//
//   images (B, S, S, 3)    as they were decoded: a byte for each colour of each pixel
//   mean   (3, S, S)       the mean image
//   places (N, 3)          of each crop: its first row and column in the image, and whether it is mirrored
//   shifts (N, 3)          of each crop: what lighting adds to its colours
//   scale  (3)             what each colour is multiplied with in the end
//   crops  (N, 3, T, T)    crop n is of image n / views

// for each n, c, p, q:
//     crops[n][c][p][q] = (images[n / views][row][column][c] - mean[c][row][column] + shifts[n][c]) · scale[c]
//     with row = places[n][0] + p, column = places[n][1] + q, or T - 1 - q instead of q if mirrored
// One thread for each n, c, p, q.
extern "C" __global__ void crop(const unsigned char *images, const real *mean, const int *places, const real *shifts,
                                const real *scale, real *crops, int N, int views, int S, int T)
{
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= N * 3 * T * T) return;
    int q = thread % T, p = thread / T % T, c = thread / (T * T) % 3, n = thread / (T * T * 3);
    const int *place = places + 3 * n;
    int row = place[0] + p, column = place[1] + (place[2] ? T - 1 - q : q);
    real centred = images[((n / views * S + row) * S + column) * 3 + c] - mean[(c * S + row) * S + column];
    crops[thread] = (centred + shifts[3 * n + c]) * scale[c];
}
