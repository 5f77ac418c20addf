// How a column of texts is described, and what concerns single words of text. Twin:
// kernels/string/text.cuh.
#define_import_path windlass::string::layout

const FORM_VIEWS: u32 = 1u;    // else: offsets
const FORM_CONSTANT: u32 = 2u; // the first row stands for all rows

struct TextLayout {
    form: u32,     // the bits above
    limit: u32,    // length of bytes
    rows: u32,
    nullable: u32, // whether there is a validity, a word for each row, 0 where null
}

struct Text {
    short: u32, // 1: its bytes lie in heads
    first: u32, // first byte
    len: u32,   // in bytes
}

fn swap_bytes(w: u32) -> u32 {
    return (w >> 24u) | ((w >> 8u) & 0xff00u) | ((w << 8u) & 0xff0000u) | (w << 24u);
}

// Whether a byte of UTF-8 continues a character.
fn continues(byte: u32) -> bool {
    return (byte & 0xc0u) == 0x80u;
}

// How many bytes of a word, each of a text, begin a character: those that are not 10xxxxxx.
fn characters_in(word: u32) -> u32 {
    return 4u - countOneBits((word >> 7u) & ~(word >> 6u) & 0x01010101u);
}
