// Convolution straight from its definition: the first rung of the ladder, and the one to read first.
//
//   x (N, C, H, W), w (O, CG, KH, KW), b (O), y (N, O, OH, OW); `groups` groups of CG = C/groups and OG = O/groups maps
//   y[n][o][p][q] = b[o] + Σ w[o][c][i][j] · x[n][c][p·SH + i·DH - PH][q·SW + j·DW - PW]
//
// Every thread fetches all its numbers from memory itself, and its neighbours fetch nearly the same: the caches bear it.
// conv_implicit.cu shares them. Where a group has few maps there is nothing to share, and this is the way to do it.

#include "reduce.cuh"

// One thread for each n, o, p, q; the loop over the window is its own.
extern "C" __global__ void direct_forward(const real *x, const real *w, const real *b, real *y, int N, int C, int O,
                                          int groups, int H, int W, int OH, int OW, int KH, int KW,
                                          int SH, int SW, int PH, int PW, int DH, int DW)
{
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= N * O * OH * OW) return;
    int q = thread % OW, p = thread / OW % OH, o = thread / (OW * OH) % O, n = thread / (OW * OH * O);
    int CG = C / groups, first = o / (O / groups) * CG;
    real sum = 0;
    for (int c = 0; c < CG; c++)
        for (int i = 0; i < KH; i++)
            for (int j = 0; j < KW; j++) {
                int row = p * SH + i * DH - PH, column = q * SW + j * DW - PW;
                if (row >= 0 && row < H && column >= 0 && column < W)
                    sum += w[((o * CG + c) * KH + i) * KW + j] * x[((n * C + first + c) * H + row) * W + column];
            }
    y[thread] = sum + b[o];
}

// for each n, c, h, w:  dx[n][c][h][w] = Σ w[o][c][i][j] · dy[n][o][p][q] over the o, i, j whose window (p, q) sees it
// One thread for each n, c, h, w, which gathers: no two threads write to one place.
extern "C" __global__ void direct_dx(const real *dy, const real *w, real *dx, int N, int C, int O, int groups,
                                     int H, int W, int OH, int OW, int KH, int KW,
                                     int SH, int SW, int PH, int PW, int DH, int DW)
{
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= N * C * H * W) return;
    int column = thread % W, row = thread / W % H, c = thread / (W * H) % C, n = thread / (W * H * C);
    int CG = C / groups, OG = O / groups, first = c / CG * OG;
    real sum = 0;
    for (int i = 0; i < KH; i++) {
        int down = row + PH - i * DH, p = down / SH;
        if (down < 0 || down % SH || p >= OH) continue;
        for (int j = 0; j < KW; j++) {
            int right = column + PW - j * DW, q = right / SW;
            if (right < 0 || right % SW || q >= OW) continue;
            for (int o = first; o < first + OG; o++)
                sum += w[((o * CG + c % CG) * KH + i) * KW + j] * dy[((n * O + o) * OH + p) * OW + q];
        }
    }
    dx[thread] = sum;
}

// for each o, c, i, j:  dw[o][c][i][j] = Σ over n, p, q of dy[n][o][p][q] · x[n][c][p·SH + i·DH - PH][q·SW + j·DW - PW]
// One block of threads for each o, c, i, j: of 256, thread t adds up the windows t, t + 256, …, and then they add up their
// sums, always in the same order.
extern "C" __global__ void direct_dw(const real *x, const real *dy, real *dw, int N, int C, int O, int groups,
                                     int H, int W, int OH, int OW, int KH, int KW,
                                     int SH, int SW, int PH, int PW, int DH, int DW)
{
    int CG = C / groups, j = blockIdx.x % KW, i = blockIdx.x / KW % KH, o = blockIdx.x / (KW * KH * CG);
    int c = o / (O / groups) * CG + blockIdx.x / (KW * KH) % CG;
    real sum = 0;
    for (int window = threadIdx.x; window < N * OH * OW; window += blockDim.x) {
        int q = window % OW, p = window / OW % OH, n = window / (OW * OH);
        int row = p * SH + i * DH - PH, column = q * SW + j * DW - PW;
        if (row >= 0 && row < H && column >= 0 && column < W)
            sum += dy[((n * O + o) * OH + p) * OW + q] * x[((n * C + c) * H + row) * W + column];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) dw[blockIdx.x] = sum;
}
