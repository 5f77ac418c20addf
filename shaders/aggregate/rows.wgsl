// Which group a row belongs to. Twin: kernels/aggregate/rows.cuh.
#define_import_path windlass::aggregate::rows

// Marks a row that no group takes.
const NO_GROUP: u32 = 0xffffffffu;
// Marks a claim in a slot of the group table, and a row whose group is new in its chunk.
const CLAIMED: u32 = 0x80000000u;

// How the buffer that names the rows' groups is to be read.
const MODE_GROUPS: u32 = 0u;   // one group number for each row
const MODE_SELECTED: u32 = 1u; // one flag for each row; selected rows are of group 0
const MODE_ALL: u32 = 2u;      // not read; every row is of group 0

fn group_from(mode: u32, word: u32) -> u32 {
    if mode == MODE_GROUPS {
        return word;
    }
    return select(NO_GROUP, 0u, mode == MODE_ALL || word != 0u);
}
