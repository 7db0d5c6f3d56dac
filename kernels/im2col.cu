// im2col and col2im: every window of some images as a column, and back.
//
//   x     (N, C, H, W)             the images of a piece
//   cols  (C, KH, KW, N, R, OW)    R of the OH rows of outputs, from row `top` on; as a matrix, K = C·KH·KW rows, one a tap,
//                                  and P = N·R·OW columns, one a window: W (O, K) · cols is the convolution
//
// Neighbouring threads have neighbouring windows: they write neighbouring numbers, and without a stride read such.

// for each c, n, p, q:  for (i = 0; i < KH; i++) for (j = 0; j < KW; j++)
//     cols[c][i][j][n][p][q] = x[n][c][(top + p)·SH + i·DH - PH][q·SW + j·DW - PW], 0 beside the image
// One thread for each c, n, p, q.
extern "C" __global__ void im2col(const real *x, real *cols, int N, int C, int R, int top, int H, int W,
                                  int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= C * N * R * OW) return;
    int q = thread % OW, p = thread / OW % R, n = thread / (OW * R) % N, c = thread / (OW * R * N);
    const real *image = x + (n * C + c) * H * W;
    int windows = N * R * OW;
    real *column = cols + c * KH * KW * windows + thread % windows;
    for (int i = 0; i < KH; i++)
        for (int j = 0; j < KW; j++) {
            int h = (top + p) * SH + i * DH - PH, w = q * SW + j * DW - PW;
            column[(i * KW + j) * windows] = h >= 0 && h < H && w >= 0 && w < W ? image[h * W + w] : 0;
        }
}

// The adjoint, as a gather: each pixel collects what the windows that saw it left, in a fixed order and without atomics.
// for each n, c, h, w:  for (i = 0; i < KH; i++) for (j = 0; j < KW; j++)
//     if a window of these rows sees pixel (h, w) with tap (i, j): dx[n][c][h][w] += cols[c][i][j][n][p][q]
// One thread for each n, c, h, w. The first piece of an image (top = 0) overwrites dx.
extern "C" __global__ void col2im(const real *cols, real *dx, int N, int C, int R, int top, int H, int W,
                                  int OH, int OW, int KH, int KW, int SH, int SW, int PH, int PW, int DH, int DW)
{
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= N * C * H * W) return;
    int w = thread % W, h = thread / W % H, c = thread / (W * H) % C, n = thread / (W * H * C);
    int windows = N * R * OW;
    real sum = top ? dx[thread] : 0;
    for (int i = 0; i < KH; i++) {
        int down = h + PH - i * DH, p = down / SH - top;  // the window whose tap i is on row h, if the stride meets it
        if (down < 0 || down % SH || p < 0 || p >= R) continue;
        for (int j = 0; j < KW; j++) {
            int right = w + PW - j * DW, q = right / SW;
            if (right < 0 || right % SW || q >= OW) continue;
            sum += cols[((c * KH + i) * KW + j) * windows + (n * R + p) * OW + q];
        }
    }
    dx[thread] = sum;
}
