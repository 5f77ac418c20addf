// assign: numbers the new groups that insert claimed.
//
// The row that represents a new group takes the next number g, writes g + 1 into its slot and
// marks itself as the representative. Rows that look at the slot meanwhile see another row's
// claim or a group, and in both cases are not its representative.
//
// Buffers:  slots     u32[mask + 1]  claims become g + 1
//           row_slot  u32[rows]      in: slots; out: CLAIMED | g for representatives, else kept
//           counters  u32[2]         [0] counts the groups
// Params:   rows
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   slots, row_slot and counters[0]. The order of the numbers depends on the order of
//           execution.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows;
};

W_INLINE void assign_row(u32* slots, u32* row_slot, u32* counters, const Params& p, u32 row) {
  const u32 slot = row_slot[row];
  if (slot == NO_GROUP) return;
  if (W_LOAD(&slots[slot]) != (CLAIMED | row)) return;
  const u32 group = atomicAdd(&counters[0], 1u);
  W_STORE(&slots[slot], group + 1);
  row_slot[row] = CLAIMED | group;
}

extern "C" __global__ void assign(u32* slots, u32* row_slot, u32* counters, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    assign_row(slots, row_slot, counters, p, u32(row));
  }
}
