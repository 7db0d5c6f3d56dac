// What convolution by im2col needs beside im2col itself and the products of cuBLAS: maps of the images of a piece lie behind
// each other there, and image by image in the layers.
//
//   product  (O, N, R, OW)    for the N images of a piece and R of the OH rows of outputs, from row `top` on
//   y        (N, O, OH, OW)
//
// One thread for each number of `product`, and neighbouring threads for neighbouring numbers.

// for each o, n, p, q:  y[n][o][top + p][q] = product[o][n][p][q] + b[o], or 0 if `rectified` and that is less
extern "C" __global__ void by_image(const real *product, const real *b, real *y, bool rectified, int N, int O, int R,
                                    int top, int OH, int OW)
{
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= O * N * R * OW) return;
    int pixel = thread % (R * OW), n = thread / (R * OW) % N, o = thread / (R * OW * N);
    real value = product[thread] + b[o];
    y[(n * O + o) * OH * OW + top * OW + pixel] = rectified && value <= 0 ? 0 : value;
}

// for each o, n, p, q:  product[o][n][p][q] = y[n][o][top + p][q]
extern "C" __global__ void by_map(const real *y, real *product, int N, int O, int R, int top, int OH, int OW)
{
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= O * N * R * OW) return;
    int pixel = thread % (R * OW), n = thread / (R * OW) % N, o = thread / (R * OW * N);
    product[thread] = y[(n * O + o) * OH * OW + top * OW + pixel];
}
