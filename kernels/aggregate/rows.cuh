// Which group a row belongs to. Twin: shaders/aggregate/rows.wgsl.
#pragma once

// Marks a row that no group takes.
#define NO_GROUP 0xffffffffu
// Marks a claim in a slot of the group table, and a row whose group is new in its chunk.
#define CLAIMED 0x80000000u

// How the buffer that names the rows' groups is to be read.
#define MODE_GROUPS 0u    // one group number for each row
#define MODE_SELECTED 1u  // one flag for each row; selected rows are of group 0
#define MODE_ALL 2u       // not read; every row is of group 0

W_INLINE u32 group_of(const u32* groups, u32 mode, u32 row) {
  if (mode == MODE_ALL) return 0;
  const u32 word = groups[row];
  if (mode == MODE_GROUPS) return word;
  return word != 0 ? 0u : NO_GROUP;
}

// Sets a group's flag. All writers store the same value, and a look first keeps the rows of
// one group from queueing at it.
W_INLINE void mark(u32* seen, u32 group) {
  if (W_LOAD(&seen[group]) == 0) W_STORE(&seen[group], 1u);
}
